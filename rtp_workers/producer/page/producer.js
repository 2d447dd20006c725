// The producer's live page: shows what /events sends, and sends the service what the person wants.
import { timeChart } from "/static/chart.js";
import { brief, change, count, follow, put, rate, read, settling } from "/static/live.js";

const STEPS_PER_DECADE = 100;
const HISTORY = 240;
const KINDS = [
  { name: "duplicate", title: "Duplicates", about: "sent again unchanged: stored only once", share: 1 },
  { name: "late", title: "Late records", about: "happened hours to days ago: stored as rows", share: 1 },
  { name: "corrupt", title: "Corrupt records", about: "cannot be read: they become dead letters", share: 0.1 },
];
const byId = (id) => document.getElementById(id);
const slider = byId("slider");
const exact = byId("exact");
const toggle = byId("toggle");

const toRate = (step) => {
  const value = 10 ** (step / STEPS_PER_DECADE);
  const digits = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value / digits) * digits;
};
const toStep = (value) => Math.round(Math.log10(Math.max(1, value)) * STEPS_PER_DECADE);

function showTarget(value) {
  slider.value = toStep(value);
  slider.style.setProperty("--filled", `${(100 * slider.value) / slider.max}%`);
  slider.setAttribute("aria-valuetext", `${rate(value)} records per second`);
  if (document.activeElement !== exact) exact.value = value;
}

let waiting = null;
slider.addEventListener("input", () => {
  const value = toRate(Number(slider.value));
  showTarget(value);
  exact.value = value;
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    waiting = null;
    change("PUT", "/rate", { records_per_s: value });
  }, 120);
});
exact.addEventListener("change", async () => {
  const done = await change("PUT", "/rate", { records_per_s: Number(exact.value) });
  if (done) showTarget(done.target_records_per_s);
});
exact.addEventListener("keydown", (event) => event.key === "Enter" && exact.blur());
toggle.addEventListener("click", async () => {
  const done = await change("POST", toggle.dataset.does);
  if (done) showState(done);
});
for (const button of document.querySelectorAll("[data-burst]")) {
  button.addEventListener("click", () => change("POST", "/burst", { records: Number(button.dataset.burst) }));
}

for (let decade = 0; decade <= 5; decade += 1) {
  const tick = document.createElement("span");
  tick.textContent = brief(10 ** decade).toLowerCase();
  tick.style.left = `${(100 * decade * STEPS_PER_DECADE) / slider.max}%`;
  byId("ticks").append(tick);
}

function chaosRow(kind) {
  const row = document.createElement("div");
  row.className = "chaos";
  row.innerHTML = `
    <label class="switch"><input type="checkbox" aria-label="${kind.title}"><span></span></label>
    <div><div class="name">${kind.title}</div><div class="quiet">${kind.about}</div></div>
    <span class="share"><input type="number" min="0" max="100" step="any" value="${kind.share}" aria-label="${kind.title}, percent"> %</span>
    <span class="sent" aria-label="${kind.title} sent so far">–</span>`;
  const [on, share] = row.querySelectorAll("input");
  for (const input of [on, share]) {
    input.addEventListener("change", () => change("PUT", "/chaos", wantedChaos()));
  }
  byId("chaos").append(row);
  Object.assign(kind, { on, share_input: share, sent: row.querySelector(".sent") });
}
KINDS.forEach(chaosRow);
const wantedChaos = () => Object.fromEntries(KINDS.map(({ name, on, share_input }) => [name, on.checked ? Number(share_input.value) / 100 : 0]));

function showChaos(status) {
  for (const kind of KINDS) {
    kind.sent.textContent = count(status.generated[kind.name]);
    if (settling()) continue;
    const share = status.chaos[kind.name];
    kind.on.checked = share > 0;
    if (share > 0 && document.activeElement !== kind.share_input) kind.share_input.value = Number((share * 100).toFixed(6));
  }
}

const LOOKS = { running: "good", waiting: "warn", ended: "bad", stopped: "" };
function showState(status) {
  const pill = byId("state");
  put("state", status.state === "waiting" ? "waiting for Kafka" : status.state);
  pill.className = `pill ${LOOKS[status.state]}`;
  toggle.disabled = false;
  toggle.textContent = status.running ? "Stop" : "Start";
  toggle.dataset.does = status.running ? "/stop" : "/start";
  toggle.classList.toggle("primary", !status.running);
}

const uptime = (seconds) => {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};

const draw = timeChart(byId("chart"), [
  { label: "acknowledged", colour: "--accent", fill: true },
  { label: "target", colour: "--target", dash: [5, 4], stepped: true },
]);
let columns = [[], [], []];

function show(status) {
  showState(status);
  showChaos(status);
  put("rate", rate(status.acknowledged_records_per_s));
  put("generated", count(status.generated.records));
  put("acknowledged", count(status.acknowledged));
  put("from-api", count(status.acknowledged_from_api));
  put("outstanding", count(status.outstanding));
  put("failed", count(status.failed));
  byId("failed").classList.toggle("bad", status.failed > 0);
  put("burst-left", count(status.burst_left));
  put("topic", status.topic);
  put("uptime", uptime(status.uptime_s));
  if (!settling() && waiting === null) showTarget(status.target_records_per_s);
  banner(status.kafka_trouble);
  document.title = `${rate(status.acknowledged_records_per_s)}/s · Producer`;
  const target = status.running ? status.target_records_per_s : 0;
  [status.at_s, status.acknowledged_records_per_s, target].forEach((value, index) => columns[index].push(value));
  columns = columns.map((column) => column.slice(-HISTORY));
  draw(columns);
}

function banner(text) {
  byId("trouble").hidden = !text;
  if (text) put("trouble", text);
}

function lost(why) {
  if (!why) return;
  byId("state").className = "pill bad";
  put("state", "no connection");
  banner(why);
}

const past = await read("/history");
if (past) columns = [past.at_s, past.acknowledged_records_per_s, past.target_records_per_s];
follow(show, lost);
