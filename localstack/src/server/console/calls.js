// Calls as they happen: the newest first, each one's parameters on demand. The journal's stream brings them.
import { element, state } from "./view.js";

/** More would only make the page slow; the journal itself has them all. */
const KEPT = 200;

/** What a call was about, if it says so by name; else its first parameter. */
const SUBJECTS = ["Name", "LoadBalancerName", "GroupName", "Names.member.1", "LoadBalancerArn", "TargetGroupArn", "ListenerArn", "GroupId"];

export class Calls {
  #list;
  #stream;
  #filter = { writes: false, text: "" };
  #seen = new Set();

  constructor(list, place) {
    this.#list = list;
    this.show(place);
  }

  /** Begins anew with the last calls of another place. */
  async show(place) {
    this.#stream?.close();
    this.#list.replaceChildren();
    this.#seen.clear();
    const query = new URLSearchParams(place);
    const before = await (await fetch(`/_landfall/journal?${query}&limit=50`)).json();
    for (const call of before) this.#add(call);
    const next = before.length ? before.at(-1).sequence + 1 : 1;
    this.#stream = new EventSource(`/_landfall/journal/stream?${query}&since=${next}`);
    this.#stream.addEventListener("call", (event) => {
      const call = JSON.parse(event.data);
      this.#add(call, true);
      document.dispatchEvent(new CustomEvent("call", { detail: call }));
    });
    this.#tell();
  }

  filter(filter) {
    this.#filter = { ...filter, text: filter.text.toLowerCase() };
    for (const row of this.#list.children) row.hidden = !this.#wanted(row.dataset.action, row.dataset.write === "true");
  }

  #wanted(action, write) {
    return (write || !this.#filter.writes) && action.toLowerCase().includes(this.#filter.text);
  }

  #add(call, isNew = false) {
    const row = element("li", { hidden: !this.#wanted(call.action, call.write), className: isNew ? "new" : "" });
    row.dataset.action = call.action;
    row.dataset.write = call.write;
    const outcome = call.result.outcome;
    const result = outcome === "error" ? call.result.code || String(call.result.status) : outcome;
    const summary = element("summary", {},
      element("time", { dateTime: call.time, className: "dim" }, call.time.slice(11, 19)),
      element("span", { className: call.write ? "name" : "" }, call.action),
      element("span", { className: "subject" }, subject(call.parameters)),
      call.fault ? state("fault", call.fault) : "",
      state(outcome, result),
    );
    const details = element("details", {}, summary);
    details.addEventListener("toggle", () => details.append(this.#more(call)), { once: true });
    row.append(details);
    this.#list.prepend(row);
    while (this.#list.children.length > KEPT) this.#list.lastElementChild.remove();
    this.#learn(call.action);
    this.#tell();
  }

  #more(call) {
    const facts = { ...call.parameters, caller: call.user_agent, duration: `${(call.duration * 1000).toFixed(1)} ms`, "request id": call.request_id };
    const pair = ([name, value]) => [element("dt", { className: "dim" }, name), element("dd", { className: "code" }, value)];
    return element("dl", {}, ...Object.entries(facts).flatMap(pair));
  }

  /** Actions that were called are proposed for faults. */
  #learn(action) {
    if (this.#seen.has(action) || this.#seen.size > 100) return;
    this.#seen.add(action);
    document.getElementById("actions").append(element("option", { value: action }));
  }

  #tell() {
    this.#list.nextElementSibling.hidden = this.#list.children.length > 0;
  }
}

function subject(parameters) {
  const name = SUBJECTS.find((name) => parameters[name]) ?? Object.keys(parameters)[0];
  const value = name ? String(parameters[name]) : "";
  // Of an ARN the name is enough: ….:loadbalancer/net/NAME/ID.
  return value.startsWith("arn:") ? value.split("/").at(-2) ?? value : value;
}
