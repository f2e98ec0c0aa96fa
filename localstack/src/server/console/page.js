// The page: asks the emulator how things are, lets view.js and calls.js show it, and passes on what the controls are told.
// Nothing is ever put into the document as markup: names and tags are other people's text.
import { drawFaults, drawNetwork, drawPlaces, drawBalancers, History } from "./view.js";
import { Calls } from "./calls.js";

const at = (id) => document.getElementById(id);
const history = new History();
const calls = new Calls(at("journal"));
let limit = 100;
let place = placeOf(new URLSearchParams(location.search));
/** Whether the reader has said which place it is to be. */
let isChosen = place !== null;

/** Silence for so long is no answer. */
const PATIENCE = 5000;

/** The emulator does not answer. */
class Lost extends Error {}

/** JSON of an endpoint; an Error with the emulator's own words when it refuses. */
async function ask(method, path, body) {
  let response, answer;
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    response = await fetch("/_landfall/" + path, { method, body: body === undefined ? undefined : JSON.stringify(body), signal });
    answer = await response.json();
  } catch {
    throw new Lost();
  }
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function placeOf(values) {
  const [account, region] = [values.get("account"), values.get("region")];
  return account && region ? { account, region } : null;
}

const query = (more = {}) => new URLSearchParams({ ...place, ...more }).toString();
const isSame = (one, other) => one.account === other?.account && one.region === other?.region;

/** The place that the reader has chosen, else the fullest as long as there is nothing at the present one. */
function choose(places) {
  if (!isChosen && (places.find((one) => isSame(one, place))?.empty ?? true)) {
    const fullest = places.filter((one) => !one.empty).toSorted((one, other) => other.load_balancers - one.load_balancers)[0];
    const { account, region } = fullest ?? place ?? { account: "000000000000", region: "us-east-1" };
    place = { account, region };
  }
  if (!places.some((one) => isSame(one, place))) places.push(place);
  drawPlaces(at("place"), places, place);
  at("settings").textContent =
    `export AWS_ENDPOINT_URL=${location.origin}\nexport AWS_REGION=${place.region}\nexport AWS_ACCESS_KEY_ID=${place.account}\nexport AWS_SECRET_ACCESS_KEY=x`;
}

async function look() {
  choose(await ask("GET", "places"));
  const [overview, clock, faults, before] = await Promise.all([
    ask("GET", "overview?" + query({ match: at("match").value, limit })),
    ask("GET", "clock"),
    ask("GET", "faults"),
    calls.follows(place) ? null : ask("GET", "journal?" + query({ limit: 50 })),
  ]);
  if (before) calls.follow(place, before);
  drawClock(clock);
  drawFaults(at("rules"), faults, remove);
  at("clear").hidden = faults.length === 0;
  drawNetwork(at("vpcs"), overview.vpcs);
  await drawBalancers(
    { balancers: at("load-balancers"), groups: at("target-groups"), counted: at("counted") },
    overview,
    at("match").value,
    history,
    (group, limit) => ask("GET", "targets?" + query({ target_group: group, limit })),
    () => { limit += 100; soon(); },
  );
}

function drawClock({ now, ahead_seconds: ahead, frozen }) {
  at("now").textContent = now.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  at("now").dateTime = now;
  const way = ahead < 0 ? "behind" : "ahead";
  at("ahead").textContent = [Math.abs(ahead) < 1 ? (frozen ? "" : "real time") : `${span(Math.abs(ahead))} ${way}`, frozen ? "frozen" : ""].filter(Boolean).join(", ");
  at("freeze").ariaPressed = String(frozen);
}

/** Hours, minutes and seconds. */
function span(seconds) {
  const whole = Math.round(seconds);
  const parts = [[Math.floor(whole / 3600), "h"], [Math.floor((whole % 3600) / 60), "min"], [whole % 60, "s"]];
  return parts.filter(([number]) => number).map(([number, unit]) => `${number} ${unit}`).join(" ");
}

let timer;
let looking = null;

/** Looks every second while somebody can see it, and soon after a write. */
function refresh() {
  clearTimeout(timer);
  looking ??= once().finally(() => {
    looking = null;
    timer = setTimeout(refresh, 1000);
  });
  return looking;
}

async function once() {
  if (document.hidden) return;
  try {
    await look();
    tell("status", "");
  } catch (error) {
    calls.leave();
    tell("status", error instanceof Lost ? `The emulator at ${location.host} does not answer. What is below is from before; it is asked again every second.` : error.message);
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 100);
}

function tell(where, problem) {
  at(where).textContent = problem;
  at(where).hidden = problem === "";
  document.body.classList.toggle("lost", at("status").textContent !== "");
}

/** Does what a control is for, and shows what has become of it, or why not until the next one is used. */
async function act(work) {
  tell("problem", "");
  try {
    await work();
  } catch (error) {
    tell("problem", error instanceof Lost ? `Not done: the emulator at ${location.host} does not answer.` : error.message);
  }
  // One that is under way may have looked before.
  await looking;
  await refresh();
}

const advance = (seconds) => act(() => ask("POST", "clock", { advance_seconds: seconds }));
for (const button of document.querySelectorAll("[data-advance]")) {
  button.addEventListener("click", () => advance(Number(button.dataset.advance)));
}
at("clock").addEventListener("submit", (event) => {
  event.preventDefault();
  advance(at("seconds").valueAsNumber);
});
at("freeze").addEventListener("click", () => act(() => ask("POST", "clock", { frozen: at("freeze").ariaPressed !== "true" })));

at("place").addEventListener("change", () => {
  const [account, region] = at("place").value.split(" ");
  place = { account, region };
  isChosen = true;
  window.history.replaceState(null, "", "?" + query());
  soon();
});
at("match").addEventListener("input", soon);

const timed = () => ["delay", "hang"].includes(at("kind").value);
at("kind").addEventListener("change", () => {
  at("for").hidden = !timed();
  at("length").required = timed();
});
at("fault").addEventListener("submit", (event) => {
  event.preventDefault();
  const kind = at("kind").value;
  const error = { code: "InternalError", status: 500, message: "A fault that was asked for" };
  const fault = timed() ? { [kind]: at("length").valueAsNumber } : kind.startsWith("error") ? { [kind]: error } : kind;
  const rule = { action: at("action").value, writes: at("writes").checked, fault };
  if (at("times").value) rule.times = at("times").valueAsNumber;
  act(() => ask("POST", "faults", rule));
});
at("clear").addEventListener("click", async () => {
  await act(() => ask("DELETE", "faults"));
  at("action").focus();
});

/** The button that was used is gone afterwards: whoever uses the keyboard goes on from the next one. */
async function remove(id) {
  const place = [...at("rules").children].findIndex((row) => row.dataset.key === String(id));
  await act(() => ask("DELETE", "faults?id=" + id));
  const row = at("rules").children[place] ?? at("rules").lastElementChild;
  (row?.querySelector("button") ?? at("action")).focus();
}

const filter = () => calls.filter({ writes: at("only-writes").checked, text: at("only").value });
at("only-writes").addEventListener("change", filter);
at("only").addEventListener("input", filter);
document.addEventListener("call", (event) => { if (event.detail.write) soon(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
// Details that were opened are filled at once.
document.addEventListener("toggle", (event) => { if (event.target.closest(".row, .group")) soon(); }, true);
refresh();
