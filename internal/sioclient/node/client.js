// A driver of real Socket.IO clients: it reads one command a line from standard
// input, as JSON, and writes one event a line to standard output.
const { io } = require("socket.io-client");
const clients = new Map();
const say = (id, event, args) => console.log(JSON.stringify({ id, event, args }));

const commands = {
  connect({ id, url, auth, options }) {
    const socket = io(url, { auth, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
    clients.set(id, { socket, auth });
    socket.on("connect", () => say(id, "connect", [socket.id, socket.recovered, socket.io.engine.transport.name]));
    socket.on("connect_error", (err) => say(id, "connect_error", [err.message]));
    socket.on("disconnect", (reason) => say(id, "disconnect", [reason]));
    socket.on("session", (session) => { auth.session = session; });
    socket.onAny((event, ...args) => say(id, event, args));
  },
  emit({ id, event, args }) { clients.get(id).socket.emit(event, ...(args || [])); },
  ask({ id, event, args }) {
    clients.get(id).socket.timeout(20000).emit(event, ...(args || []), (err, answer) => say(id, "answer", [event, err ? String(err) : null, answer]));
  },
  leave({ id }) { clients.get(id).socket.disconnect(); },
  cut({ id }) { clients.get(id).socket.io.engine.close(); }, // and reconnects
  drop({ id }) { const c = clients.get(id).socket; c.io.reconnection(false); c.io.engine.close(); },
  sendAndLeave({ id, event, args }) { const c = clients.get(id).socket; c.emit(event, ...(args || [])); c.disconnect(); },
};

let rest = "";
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop();
  for (const line of lines) {
    const command = JSON.parse(line);
    commands[command.do](command);
  }
});
process.stdin.on("end", () => process.exit(0));
