// Shared by the pages of both services: the live feed, calls that change something, and numbers for people.

const TOKEN = "rtp-api-token";

/** Calls `show(data)` for every event of /events, and `lost(true|false)` when the feed breaks or is back. */
export function follow(show, lost) {
  const source = new EventSource("/events");
  source.onmessage = (message) => {
    lost(false);
    show(JSON.parse(message.data));
  };
  source.onerror = () => {
    lost(true);
    // The browser gives up for good on an answer other than 200: look again ourselves.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(show, lost), 2000);
  };
}

// Events that were under way while something was changed still show what was before it.
const SETTLING_MS = 1500;
let queue = Promise.resolve();
let underWay = 0;
let settledAt = 0;

/** Tells whether what a person has just set is newer than what events may show. */
export const settling = () => underWay > 0 || performance.now() < settledAt;

/**
 * Sends a call that changes something, after those before it: two at once could arrive in either order.
 * Asks once for the token where one is needed. Returns the answer's JSON or null.
 */
export function change(method, path, body) {
  underWay += 1;
  const answer = queue.then(() => changeNow(method, path, body)).finally(() => {
    underWay -= 1;
    settledAt = performance.now() + SETTLING_MS;
  });
  queue = answer.catch(() => null);
  return answer;
}

async function changeNow(method, path, body) {
  for (;;) {
    let answer;
    try {
      answer = await send(method, path, body);
    } catch {
      toast("The service does not answer.");
      return null;
    }
    if (answer.ok) return answer.json();
    if (answer.status === 401 && (await askForToken())) continue;
    const problem = await answer.json().catch(() => ({}));
    toast(problem.detail || `The service answered ${answer.status}.`);
    return null;
  }
}

function send(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

/** Asks for the API token and keeps it for this tab; resolves to false when the person declines. */
function askForToken() {
  const dialog = document.createElement("dialog");
  dialog.innerHTML = `
    <form method="dialog">
      <h3>This service asks for its token</h3>
      <p class="quiet">The value of <code>RTP_API_TOKEN</code>. It is kept until this tab is closed.</p>
      <input type="password" name="token" autocomplete="off" aria-label="API token" required>
      <div class="buttons"><button class="primary" value="ok">Go on</button><button value="no" formnovalidate>Cancel</button></div>
    </form>`;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const token = dialog.querySelector("input").value.trim();
      const given = dialog.returnValue === "ok" && token !== "";
      if (given) sessionStorage.setItem(TOKEN, token);
      dialog.remove();
      resolve(given);
    });
  });
}

let shown;
/** Shows a sentence for some seconds; read out by screen readers. */
export function toast(text) {
  shown?.remove();
  shown = document.createElement("div");
  shown.className = "toast";
  shown.setAttribute("role", "alert");
  shown.textContent = text;
  document.body.append(shown);
  const mine = shown;
  setTimeout(() => mine.remove(), 6000);
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 1,234 */
export const count = (value) => whole.format(value);
/** 9.5 below ten, 1,234 above */
export const rate = (value) => (value < 10 ? tenths : whole).format(value);
/** 1.2K */
export const brief = (value) => short.format(value);

/** Sets the text of the element with this id, and only touches the page where it changes. */
export function put(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}
