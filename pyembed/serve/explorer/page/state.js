// What the page is about: the model, the chosen token, and which views have been shown.

export const state = { model: "", models: [], labels: new Map(), chosen: null, file: null };
