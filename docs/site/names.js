// The theme's search is a dialog without a name, which readers of a screen need.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
