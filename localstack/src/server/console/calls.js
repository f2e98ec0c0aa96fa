// Calls as they happen: the newest first, each one's parameters on demand. The journal's stream brings them.
import { element, facts, state } from "./view.js";

/** More would only make the page slow; the journal itself has them all. */
const KEPT = 200;

/** What a call was about, if it says so by name; else its first parameter. */
const SUBJECTS = ["Name", "LoadBalancerName", "GroupName", "Names.member.1", "LoadBalancerArn", "TargetGroupArn", "ListenerArn", "GroupId"];

export class Calls {
  #list;
  #stream = null;
  #place = null;
  #filter = { writes: false, text: "" };
  #seen = new Set();

  constructor(list) {
    this.#list = list;
  }

  /** Whether the calls of this place are coming in. */
  follows(place) {
    return this.#stream !== null && this.#place.account === place.account && this.#place.region === place.region;
  }

  /** Begins anew with the last calls of a place. */
  follow(place, before) {
    this.leave();
    this.#place = place;
    this.#list.replaceChildren();
    for (const call of before) this.#add(call);
    const next = before.length ? before.at(-1).sequence + 1 : 1;
    this.#stream = new EventSource(`/_landfall/journal/stream?${new URLSearchParams({ ...place, since: next })}`);
    this.#stream.addEventListener("call", (event) => {
      const call = JSON.parse(event.data);
      this.#add(call, true);
      document.dispatchEvent(new CustomEvent("call", { detail: call }));
    });
    // Another emulator may be there next time, whose calls are numbered from 1 again.
    this.#stream.addEventListener("error", () => this.leave());
    this.#tell();
  }

  /** Follows nothing any more; what is shown stays. */
  leave() {
    this.#stream?.close();
    this.#stream = null;
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
      element("time", { dateTime: call.time, className: "code dim" }, call.time.slice(11, 19)),
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
    const pairs = { ...call.parameters, caller: call.user_agent, duration: `${(call.duration * 1000).toFixed(1)} ms`, "request id": call.request_id };
    return facts(Object.entries(pairs).map(([name, value]) => [name, element("span", { className: "code" }, value)]));
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
