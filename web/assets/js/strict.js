// xterm.js writes style elements and style attributes, and the CSP allows neither. What they would say can be said by
// other means that the CSP does allow: a constructed style sheet, and the style object of an element. So on the console's
// page a style element is a stand-in that keeps its text in a constructed sheet, and spans (cells of the terminal) turn a
// style attribute into assignments. Imported before xterm.js, and only here.

const create = Document.prototype.createElement;
const setAttribute = Element.prototype.setAttribute;

function styleElement() {
  const sheet = new CSSStyleSheet();
  const element = create.call(document, "template");
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text) });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}

function setStyleOrAttribute(name, value) {
  if (name === "style") this.style.cssText = value;
  else setAttribute.call(this, name, value);
}

document.createElement = function createElement(name, options) {
  if (name === "style") return styleElement();
  const element = create.call(this, name, options);
  if (name === "span") element.setAttribute = setStyleOrAttribute;
  return element;
};
