// Passkeys: asks the server what the device is to sign, then the device, and posts what it says as the form that it is.
// Bytes travel as base64url in both directions.

class Told extends Error {}

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

function text(buffer) {
  const all = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(all).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const listed = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

function request(options) {
  const { publicKey } = options;
  const read = { ...publicKey, challenge: bytes(publicKey.challenge) };
  if (publicKey.user) read.user = { ...publicKey.user, id: bytes(publicKey.user.id) };
  if (publicKey.excludeCredentials) read.excludeCredentials = listed(publicKey.excludeCredentials);
  if (publicKey.allowCredentials) read.allowCredentials = listed(publicKey.allowCredentials);
  return { publicKey: read };
}

function written({ id, rawId, type, response }) {
  const said = { clientDataJSON: text(response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) said[name] = text(response[name]);
  }
  return JSON.stringify({ id, rawId: text(rawId), type, response: said, extensions: {} });
}

function why(error, form) {
  if (error instanceof Told) return error.message;
  if (error.name === "SecurityError") return `Passkeys of this Berth work at ${form.dataset.origin} only: open it there.`;
  if (error.name === "InvalidStateError") return "This device has a passkey of this account already.";
  if (error.name === "NotAllowedError") return "Your device gave no passkey: it was cancelled, took too long, or has none for this site.";
  return "Your device gave no passkey. Try again, or sign in another way.";
}

async function run(form) {
  if (!window.PublicKeyCredential) throw new Told("Your browser has no passkeys here. It wants HTTPS for them.");
  let answer;
  try {
    const body = new URLSearchParams(new FormData(form));
    answer = await fetch(form.dataset.options, { method: "POST", body, headers: { "HX-Request": "true" } });
  } catch {
    throw new Told("The control plane does not answer. Try again.");
  }
  if (answer.status === 401) return location.assign("/sign-in");
  const options = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Told(options.message ?? "This did not work. Load the page again.");
  const credential = await navigator.credentials[form.dataset.passkey](request(options));
  form.elements.credential.value = written(credential);
  if (form.elements.password) form.elements.password.value = ""; // it was checked already
  form.submit();
}

export function passkeys(root) {
  for (const form of root.querySelectorAll("form[data-passkey]")) {
    if (window.PublicKeyCredential) form.hidden = false;
    const error = form.querySelector("[data-passkey-error]");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      event.stopPropagation(); // it is sent later, by this
      const button = form.querySelector("button[type=submit]");
      if (button.disabled) return;
      button.disabled = true;
      error.hidden = true;
      try {
        await run(form);
      } catch (failed) {
        error.textContent = why(failed, form);
        error.hidden = false;
        button.disabled = false;
      }
    });
    window.addEventListener("pageshow", () => {
      form.querySelector("button[type=submit]").disabled = false; // coming back finds a form that may be sent again
    });
  }
}
