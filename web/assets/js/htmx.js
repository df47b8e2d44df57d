// htmx as a global, which its extensions expect; a module of its own so that it is there before they run.
import htmx from "htmx.org/dist/htmx.esm.js";

window.htmx = htmx;
