// The page keeps who it is, and the ID of its session, for as long as its tab lives.
const me = JSON.parse(sessionStorage.getItem("me") || "{}"); // user, token, session
const transport = new URLSearchParams(location.search).get("transport");
const $ = (id) => document.getElementById(id);

let nodes = [location.origin]; // URLs of all nodes
let here = 0; // the one that the page is at, or tries next
let failures = 0; // since the last connection
let socket;

function remember(change) {
  Object.assign(me, change);
  sessionStorage.setItem("me", JSON.stringify(me));
}

function log(text) {
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  const li = document.createElement("li");
  li.append(time, text);
  $("log").prepend(li);
}

function connect() {
  const node = nodes[here];
  socket = io(node, {
    auth: { token: me.token, session: me.session },
    forceNew: true,
    reconnection: false, // we do: a lost connection goes on at the next node
    ...(transport && { transports: [transport] }),
  });
  socket.on("session", async (session) => {
    failures = 0;
    log(session === me.session ? `The session goes on at ${node}` : `A session begins at ${node}`);
    remember({ session });
    show(true);
    try {
      const visit = await socket.timeout(10000).emitWithAck("hello");
      if (visit.error) throw new Error(visit.error);
      $("node").textContent = visit.node;
      $("me").textContent = visit.user;
      $("connects").textContent = visit.connects;
      $("transport").textContent = socket.io.engine.transport.name;
      socket.io.engine.on("upgrade", (t) => { $("transport").textContent = t.name; });
      showBasket(visit.basket);
    } catch (err) {
      $("failed").textContent = err.message;
    }
  });
  socket.on("connect_error", (err) => {
    const refused = !socket.active && err.message !== "unavailable, try again"; // the text of a node that stops
    if (refused) return signOut(err.message);
    log(`${node} does not answer`);
    goOn();
  });
  socket.on("disconnect", (reason) => {
    if (reason === "io client disconnect") return signOut("");
    if (reason === "io server disconnect") return signOut("Your session has ended.");
    log(`Connection lost: ${reason}`);
    goOn();
  });
}

// goOn tries the next node, after a wait that grows with each failure.
function goOn() {
  show(false);
  here = (here + 1) % nodes.length;
  setTimeout(connect, Math.min(200 * 2 ** failures++, 3000) * (0.5 + Math.random()));
}

// show says whether the page is online. Nothing can be sent while it is not.
function show(online) {
  $("status").textContent = online ? "online" : "offline, trying again";
  $("status").className = online ? "on" : "off";
  for (const e of document.querySelectorAll("[data-online]")) e.disabled = !online;
}

function showBasket(things) {
  $("count").textContent = things.length;
  $("basket").replaceChildren(...things.map((thing) => {
    const li = document.createElement("li");
    li.textContent = thing;
    return li;
  }));
}

function signOut(why) {
  remember({ token: undefined, session: undefined });
  $("refused").textContent = why;
  start();
}

function start() {
  const known = Boolean(me.token);
  $("sign-in").hidden = known;
  $("visit").hidden = !known;
  if (known) {
    $("log").replaceChildren();
    show(false);
    connect();
    return;
  }
  $("status").textContent = "signed out";
  $("status").className = "";
  $("user").focus();
}

$("sign-in").addEventListener("submit", async (e) => {
  e.preventDefault();
  try {
    const answer = await fetch("login", { method: "POST", body: new URLSearchParams({ user: $("user").value }) });
    if (!answer.ok) throw new Error(await answer.text());
    remember({ token: await answer.json() });
    $("refused").textContent = "";
    start();
  } catch (err) {
    $("refused").textContent = err.message;
  }
});

$("add").addEventListener("submit", async (e) => {
  e.preventDefault();
  const thing = $("thing").value;
  try {
    const answer = await socket.timeout(10000).emitWithAck("add", thing);
    if (answer.error) throw new Error(answer.error);
    showBasket(answer);
    if ($("thing").value === thing) $("thing").value = "";
    $("failed").textContent = "";
  } catch (err) {
    $("failed").textContent = err.message; // what was typed stays
  }
});

$("lose").addEventListener("click", () => socket.io.engine.close());
$("leave").addEventListener("click", () => socket.disconnect());
$("leave-everywhere").addEventListener("click", async () => {
  try {
    const answer = await socket.timeout(10000).emitWithAck("leave everywhere");
    if (answer.error) throw new Error(answer.error);
  } catch (err) {
    if (socket.connected) $("failed").textContent = err.message; // else the answer was overtaken by the end
  }
});

fetch("nodes").then((answer) => answer.json()).then((all) => {
  nodes = all;
  here = Math.max(0, nodes.indexOf(location.origin));
  start();
});
