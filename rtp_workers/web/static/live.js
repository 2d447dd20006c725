// Shared by the pages of both services: the live feed, calls that change something, and numbers for people.

const TOKEN = "rtp-api-token";
const AGAIN_MS = 1000;
const GONE = "The service does not answer. This page keeps trying to reach it.";
const NO_TOKEN = "This page needs the service's token. Reload the page to enter it.";

/** Calls `show(data)` for every event of /events, and `lost(why)` when the feed breaks, or with "" when it is back. */
export async function follow(show, lost) {
  for (;;) {
    const answer = await call("GET", "/events").catch(() => null);
    if (answer?.status === 401) return lost(NO_TOKEN);
    if (answer?.ok) await eachEvent(answer.body, (data) => {
      lost("");
      show(data);
    });
    lost(GONE);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** Reads an event stream to its end. EventSource would do, but it cannot send a token. */
async function eachEvent(stream, take) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events.filter((one) => one.startsWith("data: "))) {
      try {
        take(JSON.parse(event.slice(6)));
      } catch (error) {
        reportError(error); // one event that cannot be shown does not end the feed
      }
    }
  }
}

/** Returns the JSON at `path`, or null if it cannot be had. */
export async function read(path) {
  const answer = await call("GET", path).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

// Events that were already under way when something was changed still show the old state.
const SETTLING_MS = 1500;
let queue = Promise.resolve();
let underWay = 0;
let settledAt = 0;

/** Tells whether a person has just set something that events may not show yet. */
export const settling = () => underWay > 0 || performance.now() < settledAt;

/**
 * Sends a call that changes something, after the earlier ones, because two at once could arrive in either order.
 * Asks once for the token if one is needed. Returns the answer's JSON or null.
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
  const answer = await call(method, path, body && JSON.stringify(body)).catch(() => null);
  if (answer === null) {
    toast("The service does not answer.");
    return null;
  }
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  toast(problem.detail || `The service answered ${answer.status}.`);
  return null;
}

let asking = null;
let declined = false;

/**
 * Sends a call with the tab's token, and asks for the token if the service wants one.
 * Returns the answer: 401 if the person declines, who is then not asked again only for reading.
 */
export async function call(method, path, text) {
  for (;;) {
    const answer = await send(method, path, text);
    if (answer.status !== 401 || (declined && method === "GET")) return answer;
    asking ??= askForToken().finally(() => (asking = null));
    declined = !(await asking);
    if (declined) return answer;
  }
}

function send(method, path, text) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (text !== undefined) headers["Content-Type"] = "application/json";
  return fetch(path, { method, headers, body: text });
}

/** Asks for the token and keeps it for this tab; resolves to false when the person declines. */
function askForToken() {
  const dialog = document.createElement("dialog");
  dialog.innerHTML = `
    <form method="dialog">
      <h3>This service needs a token</h3>
      <p class="quiet">Enter the value of <code>RTP_API_TOKEN</code>, or of <code>RTP_READ_TOKEN</code> if you only want to look. It is kept until you close this tab.</p>
      <input type="password" name="token" autocomplete="off" aria-label="API token" required>
      <div class="buttons"><button class="primary" value="ok">Continue</button><button value="no" formnovalidate>Cancel</button></div>
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
/** Shows a sentence for a few seconds. Screen readers read it out. */
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

/** Sets the text of the element with this id, but touches the page only if the text changes. */
export function put(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}
