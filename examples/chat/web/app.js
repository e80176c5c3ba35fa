"use strict";

// The page keeps two credentials, for this tab alone: the token, and the ID of
// the session, with which a reload or a new connection goes on where it was.
const kept = {
  get token() { return sessionStorage.getItem("token") ?? ""; },
  set token(v) { v ? sessionStorage.setItem("token", v) : sessionStorage.removeItem("token"); },
  get session() { return sessionStorage.getItem("session") ?? ""; },
  set session(v) { v ? sessionStorage.setItem("session", v) : sessionStorage.removeItem("session"); },
};

const $ = (id) => document.getElementById(id);

// make returns a new element with properties and children.
function make(tag, properties = {}, ...children) {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...children);
  return e;
}

let socket = null;
let me = null;          // the view of our session, once it is known
let room = "";          // the room on show
let grace = 0;          // seconds
let attempt = 0;        // connections that failed in a row
let timer = 0;          // of the next attempt or the countdown
const lines = new Map(); // room → lines of its log
const unread = new Set();
const unheard = [];     // what we said and have not heard yet

// --- the connection ---

function connect() {
  clearTimeout(timer);
  banner();
  status("wait", "connecting");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const offers = ["chat.v1", "token." + kept.token];
  if (kept.session) offers.push("session." + kept.session);
  const query = new URLSearchParams(location.search);
  query.set("client", "page");
  const ws = new WebSocket(`${scheme}//${location.host}/ws?${query}`, offers);
  socket = ws;
  let opened = false;
  ws.onopen = () => { opened = true; };
  ws.onmessage = (e) => receive(JSON.parse(e.data));
  ws.onclose = (e) => { if (socket === ws) closed(e, opened); };
}

// send reports whether there was a connection to send on.
function send(request) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(request));
  return true;
}

// reachable enables or disables what needs the connection.
function reachable(yes) {
  document.body.classList.toggle("offline", !yes);
  for (const e of document.querySelectorAll("[data-online], #rooms input, #rooms button, #sessions button")) e.disabled = !yes;
  if (yes) $("say").disabled = $("send").disabled = !room;
}

// closed decides what comes after the end of a connection.
async function closed(e, opened) {
  socket = null;
  status("off", "offline");
  reachable(false);
  // What was sent and not heard back may be lost: it can be sent again.
  if (unheard.length && !$("say").value) $("say").value = unheard.join(" ");
  unheard.length = 0;
  if (opened) stale(e.code);
  switch (e.code) {
    case 1000: // signed out
      kept.session = kept.token = "";
      return signIn("");
    case 3000: // we dropped it ourselves
      return countdown();
    case 4001: // the session has ended
    case 4003: // an administrator ended it
      kept.session = "";
      return banner(e.reason, "Begin a new session", connect);
    case 4002: // it goes on over another connection
      return banner(e.reason, "Take it back", connect);
    case 4004: // the token has expired
      kept.token = "";
      return signIn(e.reason);
  }
  // The handshake may have been refused; browsers do not tell pages why.
  if (!opened) {
    try {
      const r = await call("GET", "/api/whoami");
      if (r.status === 401) {
        kept.token = "";
        return signIn(r.text);
      }
    } catch { /* nobody answers: try again */ }
  }
  if (!kept.token) return; // signed out meanwhile
  const wait = Math.min(8000, 400 * 2 ** attempt++) * (0.7 + 0.3 * Math.random());
  status("wait", "reconnecting");
  banner((e.reason || "the connection is lost") + " – connecting again …");
  timer = setTimeout(connect, wait);
}

// stale shows that the table is as it was when the connection ended, and what has
// become of our own session since.
function stale(code) {
  const over = { 1000: "signed out", 4001: "ended", 4003: "ended" }[code];
  const elsewhere = code === 4002 && "goes on over another connection";
  const state = over ?? (elsewhere || (grace ? "waits" : "ended"));
  $("me-state").textContent = state;
  $("as-of").textContent = "as it was at " + new Date().toLocaleTimeString();
  const own = [...$("sessions").rows].find((row) => row.classList.contains("own"));
  if (!own || elsewhere) return;
  $("total").textContent = Math.max(0, parseInt($("total").textContent) - 1);
  if (state === "ended" || over) own.remove();
  else {
    own.replaceWith(waitingRow({ hash: me.hash, nickname: me.nickname }, "suspended, waits for this page"));
  }
}

// countdown shows how long the session waits for us.
function countdown() {
  const until = Date.now() + grace * 1000;
  const tick = () => {
    const left = Math.max(0, Math.round((until - Date.now()) / 1000));
    banner(left ? `Connection dropped. The session is kept for ${left} s more.` : "Connection dropped. The session has ended.", "Connect", connect);
    if (left) timer = setTimeout(tick, 500);
  };
  tick();
}

function receive(m) {
  switch (m.type) {
    case "welcome":
      attempt = 0;
      kept.session = m.session;
      grace = m.grace;
      $("node").textContent = m.node;
      $("store").textContent = m.store;
      $("grace").textContent = m.grace ? m.grace + " s" : "none";
      status("on", "online");
      banner(m.notice);
      $("me-state").textContent = "";
      show(m.state);
      ops(m.ops);
      reachable(true);
      send({ type: "watch" });
      break;
    case "state": show(m.state); ops(m.ops); break;
    case "said":
      if (m.hash === me?.hash) unheard.shift();
      line(m.room, m, m.hash === me?.hash ? "mine" : "said");
      break;
    case "news": line(m.room, m, "news"); break;
    case "error":
      {
        const refused = unheard.shift();
        if (refused && !$("say").value) $("say").value = refused;
      }
      line(room, { at: new Date(), text: m.text }, "failed");
      break;
    case "sessions": sessions(m); break;
  }
}

// --- our session ---

function show(view) {
  me = view;
  $("me-hash").textContent = view.hash;
  if (document.activeElement !== $("nickname")) $("nickname").value = view.nickname;
  $("me-user").textContent = view.user;
  $("me-claims").textContent = [view.claims.tenant && "tenant " + view.claims.tenant, view.claims.admin && "admin",
    "until " + new Date(view.claims.expires).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })].filter(Boolean).join(", ");
  $("me-messages").textContent = view.messages;
  $("me-connects").textContent = view.connects;
  const hs = view.handshake;
  $("hs-node").textContent = hs.node;
  $("hs-remote").textContent = hs.remote;
  $("hs-language").textContent = hs.language || "–";
  $("hs-agent").textContent = agent(hs.userAgent);
  $("hs-agent").title = hs.userAgent;
  $("hs-query").textContent = Object.entries(hs.query).map(([k, v]) => `${k}=${v}`).join(", ") || "–";
  if (!view.rooms.includes(room)) room = view.rooms[0] ?? "";
  rooms();
}

// agent shortens a User-Agent to what a person calls it.
function agent(text) {
  const found = /(Edg|OPR|Firefox|HeadlessChrome|Chrome|Version)\/(\d+)/.exec(text);
  const names = { Edg: "Edge", OPR: "Opera", HeadlessChrome: "Headless Chrome", Version: "Safari" };
  return found ? `${names[found[1]] ?? found[1]} ${found[2]}` : text.slice(0, 24);
}

function rooms() {
  const nav = $("rooms");
  const draft = nav.querySelector("input")?.value ?? "";
  nav.replaceChildren(...me.rooms.map((name) => make("span", { className: ["room", name === room && "active", unread.has(name) && "unread"].filter(Boolean).join(" ") },
    make("button", { type: "button", textContent: name, onclick: () => enter(name) }),
    make("button", { type: "button", className: "leave", textContent: "×", title: "Leave " + name, onclick: () => send({ type: "leave", room: name }) }))));
  const input = make("input", { id: "join", placeholder: "Join a room", autocomplete: "off", value: draft });
  input.setAttribute("aria-label", "Join a room");
  nav.append(make("form", { id: "join-form", onsubmit: (e) => {
    e.preventDefault();
    const name = input.value.trim();
    input.value = "";
    if (!name) return;
    if (!me.rooms.includes(name)) send({ type: "join", room: name });
    room = name;
  } }, input, make("button", { textContent: "Join" })));
  reachable(socket?.readyState === WebSocket.OPEN);
  log();
}

function enter(name) {
  room = name;
  unread.delete(name);
  rooms();
}

// --- the log ---

function line(name, m, kind) {
  const text = make("span", { className: "text", textContent: m.text });
  const item = make("li", { className: kind }, make("time", { textContent: new Date(m.at).toLocaleTimeString() }));
  if (m.from) item.append(make("b", { textContent: m.from, title: "session " + m.hash }));
  item.append(text);
  if (m.n) item.append(make("span", { className: "n", textContent: "Messages = " + m.n }));
  const list = lines.get(name) ?? [];
  list.push(item);
  if (list.length > 300) list.shift();
  lines.set(name, list);
  if (name === room) log();
  else if (kind === "said" && !unread.has(name)) { unread.add(name); rooms(); }
}

function log() {
  $("log").replaceChildren(...(lines.get(room) ?? []));
  $("log").scrollTop = $("log").scrollHeight;
}

function ops(list) {
  const items = list.map((o, i) => make("li", { className: [i === 0 && "first", o.failed && "failed"].filter(Boolean).join(" ") },
    make("code", { textContent: o.name }), make("span", { textContent: o.micros < 10000 ? o.micros + " µs" : Math.round(o.micros / 1000) + " ms" })));
  $("ops").prepend(...items);
  while ($("ops").children.length > 60) $("ops").lastChild.remove();
}

// --- the table ---

function sessions(m) {
  $("as-of").textContent = "";
  $("total").textContent = m.total > m.rows.length ? `${m.rows.length} of ${m.total}` : m.total;
  const body = $("sessions");
  const old = new Map([...body.rows].map((r) => [r.dataset.hash, r]));
  const fresh = m.rows.map((v) => {
    const row = old.get(v.hash) ?? make("tr");
    row.dataset.hash = v.hash;
    row.className = v.hash === me?.hash ? "own" : "";
    cells(row, [v.hash, v.nickname, v.user + (v.claims.tenant ? " @ " + v.claims.tenant : ""), v.rooms.join(", "), v.messages, v.connects, agent(v.handshake.userAgent)]);
    if (me?.claims.admin && row.cells.length === 7) {
      row.append(make("td", {}, make("button", { type: "button", className: "danger", textContent: "Kick", title: "Destroy this session", onclick: () => kick(v.hash) })));
    }
    return row;
  });
  const waiting = m.suspended.map((s) => waitingRow(s, `suspended until ${new Date(s.until).toLocaleTimeString()}, waits for its client`));
  body.replaceChildren(...fresh, ...waiting);
}

// waitingRow is the row of a session that has no connection.
function waitingRow(s, text) {
  const row = make("tr", { className: "suspended" });
  row.dataset.hash = "suspended " + s.hash;
  row.append(make("td", {}, make("code", { textContent: s.hash })), make("td", { textContent: s.nickname }),
    make("td", { colSpan: 6, textContent: text, title: text }));
  return row;
}

// cells fills row with values and marks those that have changed.
function cells(row, values) {
  values.forEach((value, i) => {
    const text = String(value);
    let cell = row.cells[i];
    if (!cell) {
      cell = make("td", { className: i === 4 || i === 5 ? "number" : "" });
      if (i === 0) cell.append(make("code"));
      row.append(cell);
    } else if (cell.textContent !== text) {
      cell.classList.remove("changed");
      void cell.offsetWidth; // restart the animation
      cell.classList.add("changed");
    } else return;
    (i === 0 ? cell.firstChild : cell).textContent = text;
    cell.title = text; // the cell may be too narrow for it
  });
}

// --- the API ---

async function call(method, path, body) {
  const r = await fetch(path, { method, headers: { Authorization: "Bearer " + kept.token, "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const text = (await r.text()).trim();
  return { status: r.status, ok: r.ok, text, json: () => JSON.parse(text) };
}

async function kick(hash) {
  const r = await call("POST", "/api/kick", { hash });
  if (!r.ok) banner(r.text);
}

async function remote(destroy) {
  const out = $("remote-result");
  try {
    const r = await call("POST", "/api/session", { session: $("remote-id").value, nickname: destroy ? "" : $("remote-nickname").value, destroy });
    if (!r.ok) { out.textContent = r.text; return; }
    const v = r.json();
    out.textContent = destroy ? `${v.hash} is destroyed.`
      : `${v.hash}\nNickname ${v.nickname}\nUserID ${v.user}\nRooms ${v.rooms.join(", ")}\nMessages ${v.messages}\nat node ${v.handshake.node}`;
  } catch { out.textContent = "The server does not answer."; }
}

// --- small things ---

function status(kind, text) {
  $("status").className = "pill " + kind;
  $("status").textContent = text;
}

function banner(text, action, run) {
  $("banner").hidden = !text;
  $("banner-text").textContent = text ?? "";
  $("banner-action").hidden = !action;
  $("banner-action").textContent = action ?? "";
  $("banner-action").onclick = run ?? null;
}

function signIn(reason) {
  banner();
  $("sign-in-error").textContent = reason;
  if (!$("sign-in").open) $("sign-in").showModal();
  $("user").focus();
}

$("sign-in").addEventListener("cancel", (e) => e.preventDefault());
$("sign-in-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  try {
    const r = await call("POST", "/api/login", { user: $("user").value, tenant: $("tenant").value, admin: $("admin").checked });
    if (!r.ok) { $("sign-in-error").textContent = r.text; return; }
    kept.token = r.json().token;
  } catch { $("sign-in-error").textContent = "The server does not answer."; return; }
  $("sign-in").close();
  connect();
});
$("nickname-form").addEventListener("submit", (e) => { e.preventDefault(); send({ type: "nickname", name: $("nickname").value }); $("nickname").blur(); });
$("say-form").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = $("say").value;
  if (!text.trim() || !send({ type: "say", room, text })) return; // what cannot be sent stays
  unheard.push(text);
  $("say").value = "";
});
$("drop").addEventListener("click", () => socket?.close(3000, "dropped by the page"));
// leave lets go of the connection and signs out over HTTP.
async function leave(path, body, unanswered) {
  clearTimeout(timer); // no more attempts to connect
  const late = socket;
  socket = null;
  late?.close();
  status("off", "offline");
  reachable(false);
  let said = "";
  try {
    const r = path && await call("POST", path, body);
    if (r && !r.ok && r.status !== 404) said = r.text; // 404: it has ended already
  } catch { said = unanswered; }
  kept.session = kept.token = "";
  $("me-state").textContent = "signed out";
  signIn(said);
}
$("bye").addEventListener("click", () => {
  if (send({ type: "bye" })) return;
  if (!kept.session) return leave();
  leave("/api/bye", { session: kept.session }, "The server does not answer: you are signed out here, and the session ends with its grace.");
});
$("bye-everywhere").addEventListener("click", () =>
  leave("/api/bye-everywhere", {}, "The server does not answer: you are signed out here only."));
$("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText(kept.session); $("copy").textContent = "Copied"; }
  catch { $("copy").textContent = "Not allowed here"; }
  setTimeout(() => { $("copy").textContent = "Copy ID"; }, 1500);
});
$("remote-form").addEventListener("submit", (e) => { e.preventDefault(); remote(false); });
$("remote-destroy").addEventListener("click", () => remote(true));

reachable(false);
if (kept.token) connect(); else signIn("");
