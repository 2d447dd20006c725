// The consumer's live page: shows what /events sends, and sends the service what the person wants.
import { timeChart } from "/static/chart.js";
import { brief, change, count, follow, put, rate, read, settling, toast } from "/static/live.js";

const HISTORY = 240;
const WARNINGS_SHOWN = 3;
const byId = (id) => document.getElementById(id);
const toggle = byId("toggle");

const clock = (iso) => new Date(iso).toLocaleTimeString("en-GB");
function span(seconds) {
  if (seconds === null) return "–";
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
const milli = (seconds) => (seconds === null ? null : seconds * 1000);
function latency(seconds) {
  if (seconds === null) return "–";
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : span(seconds);
}
const large = (value) => (value >= 1e7 ? brief(value) : count(value));

// What a person does

toggle.addEventListener("click", async () => {
  const pausing = toggle.dataset.does === "/pause";
  const done = await change("POST", toggle.dataset.does, pausing ? { reason: "paused on the page" } : {});
  if (done) showToggle(done.paused);
});
byId("accept-holes").addEventListener("click", async () => {
  const done = await change("POST", "/resume", { accept_holes: true });
  if (done) toast(`${count(done.accepted_holes.reduce((sum, hole) => sum + hole.to_offset - hole.from_offset, 0))} records counted as skipped.`);
});
async function replay(button, wish) {
  button.disabled = true;
  const done = await change("POST", "/dead-letters/replay", wish);
  button.disabled = false;
  if (!done) return;
  const failed = Object.values(done.failed);
  toast(`${count(done.replayed)} sent again.${failed.length ? ` ${count(failed.length)} refused again: ${failed[0]}` : ""}`);
}
let refusedTopics = [];
byId("replay-all").addEventListener("click", async (event) => {
  for (const topic of refusedTopics) await replay(event.target, { all: true, topic });
});

// What the service says

const LOOKS = { streaming: "good", idle: "good", paused: "warn", starting: "", stuck: "bad", trouble: "bad" };
function showState(status) {
  put("state", status.state);
  byId("state").className = `pill ${LOOKS[status.state]}`;
  if (!settling()) showToggle(status.paused);
}
function showToggle(paused) {
  toggle.disabled = false;
  if (toggle.dataset.does === (paused ? "/resume" : "/pause")) return;
  toggle.textContent = paused ? "Resume" : "Pause";
  toggle.dataset.does = paused ? "/resume" : "/pause";
}

function showTrouble(status) {
  const reasons = Object.entries({ ...status.waiting, ...status.problems }).map(([where, why]) =>
    where.startsWith("partition ") ? `${where}: ${why}` : why);
  if (status.paused) reasons.push(`Paused: ${status.paused_reason || "no reason given"}. Records wait in Kafka.`);
  if (!reasons.length && status.ledger_trouble) reasons.push(status.ledger_trouble);
  banner(reasons.join(" · "), Object.keys(status.problems).length > 0);
  byId("accept-holes").hidden = !Object.keys(status.problems).some((where) => where.startsWith("hole:"));
}
/** What flows on, but needs a person to look at it: each sentence says how to end it. */
function showWarnings(warnings) {
  const sentences = Object.values(warnings);
  const more = sentences.length - WARNINGS_SHOWN;
  byId("notice").hidden = !sentences.length;
  put("notice-text", sentences.slice(0, WARNINGS_SHOWN).join(" · ") + (more > 0 ? ` · and ${more} more, see /status` : ""));
}
function banner(text, isBad) {
  byId("trouble").hidden = !text;
  byId("trouble").classList.toggle("bad", Boolean(isBad));
  if (text) put("trouble-text", text);
}

function showFigures(status) {
  put("rate", rate(status.records_per_s));
  put("lag", status.lag_records === null ? "–" : large(status.lag_records));
  put("oldest", status.lag_records === 0 ? "none" : span(status.lag_s));
  put("p50", latency(status.latency_p50_s));
  put("p95", latency(status.latency_p95_s));
  put("topic", status.topic);
  const done = status.since_start;
  put("since-start", `since the start: ${count(done.inserted)} stored, ${count(done.duplicates)} duplicates`);
  if (!status.ledger) return;
  put("rows", large(status.ledger.rows));
  put("letters-total", large(status.ledger.dead_letters));
}

function showBalance(balance, now_s) {
  const known = balance !== null;
  byId("balance").className = `card balance ${known ? (balance.balances ? "good" : "bad") : ""}`;
  put("verdict", known ? (balance.balances ? "The ledger balances." : "The ledger does not balance.") : "Checking the ledger");
  put("says", known ? `${balance.says} Checked ${span(Math.max(0, Math.round(now_s - balance.checked_at_s)))} ago.` : "");
}

/** Gives `parent` one element per item, in order. Elements of items that stay are kept, and so is the focus. */
function keyed(parent, items, key, make, update) {
  const known = new Map([...parent.children].map((element) => [element.dataset.key, element]));
  const fresh = items.filter((item) => !known.has(key(item))).length;
  items.forEach((item, place) => {
    let element = known.get(key(item));
    if (!element) {
      element = make(item);
      element.dataset.key = key(item);
      if (known.size && fresh <= 6) element.classList.add("new");
    }
    known.delete(key(item));
    update?.(element, item);
    if (parent.children[place] !== element) parent.insertBefore(element, parent.children[place] ?? null);
  });
  for (const element of known.values()) element.remove();
}
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined && text !== null) made.textContent = text;
  return made;
}
function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function partitionRow(partition) {
  const row = element("tr");
  const bar = element("td", "wide");
  const level = element("div", "level");
  level.append(element("span"));
  bar.append(level);
  row.append(element("td", "", partition.kafka_partition), bar, ...[1, 2, 3, 4].map(() => element("td", "number")));
  return row;
}
function showPartitions(partitions) {
  const most = Math.max(100, ...partitions.map((partition) => partition.lag_records ?? 0));
  keyed(byId("partitions"), partitions, (partition) => String(partition.kafka_partition), partitionRow, (row, partition) => {
    const [, bar, records, oldest, position, end] = row.children;
    bar.firstChild.firstChild.style.width = `${(100 * (partition.lag_records ?? 0)) / most}%`;
    write(records, partition.lag_records === null ? "–" : count(partition.lag_records));
    write(oldest, partition.lag_records ? span(partition.lag_s) : "–");
    write(position, partition.position === null ? "–" : count(partition.position));
    write(end, count(partition.log_end));
    row.className = partition.assigned ? "" : "elsewhere";
    row.title = partition.assigned ? "" : "read by another consumer process";
  });
}

/** One line for each topic of others: what came from it, or why it is not consumed. */
function topicRow(topic) {
  const row = element("tr");
  row.append(element("td", "", topic.topic), element("td"), ...[1, 2, 3, 4, 5].map(() => element("td", "number")), element("td", "why"));
  return row;
}
function showTopics(topics, notConsumed) {
  const waiting = Object.entries(notConsumed).map(([topic, why]) => ({ topic, state: "not consumed", why }));
  const all = [...topics, ...waiting];
  byId("topics").hidden = !all.length;
  keyed(byId("topic-rows"), all, (topic) => topic.topic, topicRow, (row, topic) => {
    const [, state, lag, perSecond, rows, duplicates, letters, why] = row.children;
    const trouble = topic.why ?? Object.values(topic.problems).join(" · ");
    write(state, topic.state);
    state.className = trouble ? "bad" : "";
    write(lag, topic.lag_records == null ? "–" : count(topic.lag_records));
    write(perSecond, topic.records_per_s == null ? "–" : rate(topic.records_per_s));
    const figures = [[rows, topic.inserted], [duplicates, topic.duplicates], [letters, topic.dead_lettered]];
    for (const [cell, figure] of figures) write(cell, figure == null ? "–" : count(figure));
    write(why, trouble);
  });
}

function letterItem(letter) {
  const item = element("li");
  const again = element("div", "again");
  const button = element("button", "small", "Replay");
  button.setAttribute("aria-label", `Replay the dead letter at partition ${letter.kafka_partition}, offset ${letter.kafka_offset}`);
  button.addEventListener("click", () => replay(button, { ids: [letter.id] }));
  again.append(button, element("span", "quiet"));
  const value = letter.value === null ? "no value" : letter.value + (letter.value_cut ? "…" : "");
  const shown = element("code", "value", value || "empty");
  shown.title = value;
  const foreign = letter.topic === byId("topic").textContent ? "" : `${letter.topic} `;
  const place = `${clock(letter.first_seen_at)} · ${foreign}${letter.kafka_partition}:${letter.kafka_offset}`;
  item.append(element("span", "reason", letter.reason.replaceAll("_", " ")), element("span", "place quiet", place));
  item.append(element("span", "what", letter.detail), shown, again);
  return item;
}
function showLetters(letters, total) {
  byId("no-letters").hidden = letters.length > 0;
  refusedTopics = [...new Set(letters.filter((letter) => letter.replayed_at === null).map((letter) => letter.topic))];
  byId("replay-all").hidden = !refusedTopics.length;
  put("letters-note", letters.length ? `the newest ${count(letters.length)} of ${count(Math.max(total ?? 0, letters.length))}` : "");
  keyed(byId("letters"), letters, (letter) => letter.id, letterItem, (item, letter) => {
    write(item.querySelector(".again span"), letter.replayed_at ? `sent again ${clock(letter.replayed_at)}` : "");
  });
}

function latestRow(row) {
  const made = element("tr");
  const cells = [
    ["", clock(row.ingested_at)], ["number", row.amount], ["currency", row.currency], ["", row.merchant],
    ["", row.category], ["", row.customer_id], ["", row.country], ["", row.source], ["id", row.transaction_id],
  ];
  made.append(...cells.map(([className, text]) => element("td", className, text)));
  made.lastChild.title = row.transaction_id;
  return made;
}
function showLatest(rows) {
  byId("no-rows").hidden = rows.length > 0;
  byId("latest-table").hidden = rows.length === 0;
  keyed(byId("latest"), rows, (row) => row.transaction_id, latestRow);
}

// Charts

const charts = [
  { draw: timeChart(byId("rate-chart"), [{ label: "stored", colour: "--accent", fill: true }]), columns: [[], []] },
  { draw: timeChart(byId("lag-chart"), [{ label: "lag", colour: "--target", fill: true }]), columns: [[], []] },
  {
    draw: timeChart(
      byId("latency-chart"),
      [{ label: "median", colour: "--accent", fill: true }, { label: "95%", colour: "--target", dash: [5, 4] }],
      { unit: " ms" },
    ),
    columns: [[], [], []],
  },
];
function add(status) {
  const at = status.at_s;
  const values = [
    [at, status.records_per_s],
    [at, status.lag_records],
    [at, milli(status.latency_p50_s), milli(status.latency_p95_s)],
  ];
  charts.forEach((chart, index) => {
    chart.columns = chart.columns.map((column, place) => [...column, values[index][place]].slice(-HISTORY));
    chart.draw(chart.columns);
  });
}

function show(status) {
  showState(status);
  showTrouble(status);
  showWarnings(status.warnings);
  showFigures(status);
  showBalance(status.balance, status.at_s);
  showPartitions(status.partitions);
  showTopics(status.topics, status.topics_not_consumed);
  showLetters(status.letters, status.ledger?.dead_letters);
  showLatest(status.transactions);
  add(status);
  document.title = `${rate(status.records_per_s)}/s · Consumer`;
}
function lost(why) {
  if (!why) return;
  byId("state").className = "pill bad";
  put("state", "no connection");
  banner(why, true);
}

const past = await read("/history");
if (past) {
  charts[0].columns = [past.at_s, past.records_per_s];
  charts[1].columns = [past.at_s, past.lag_records];
  charts[2].columns = [past.at_s, past.latency_p50_s.map(milli), past.latency_p95_s.map(milli)];
}
follow(show, lost);
