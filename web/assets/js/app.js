// All script of the dashboard. Every page works without it: forms post, links navigate, a reload shows the new state.
// What this adds: the event stream (htmx), copy buttons, reading a graph under the pointer, one click per submit, passkeys.
import "./htmx.js";
import "htmx.org/dist/ext/hx-sse.js";
import { copyButtons } from "./copy.js";
import { forms } from "./forms.js";
import { graphs } from "./graphs.js";
import { passkeys } from "./passkeys.js";
import { times } from "./times.js";

document.documentElement.classList.add("js");
copyButtons(document);
forms(document);
graphs(document);
passkeys(document);
times(document);
