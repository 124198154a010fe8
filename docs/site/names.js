// What readers of a screen and users of a keyboard need beyond what the theme has.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");

// The theme puts wide tables into boxes that scroll, after this has run.
const reachScrolled = () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    box.setAttribute("tabindex", "0");
  }
};
new MutationObserver(reachScrolled).observe(document.body, { childList: true, subtree: true });
reachScrolled();
