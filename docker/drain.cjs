// Preload of the web container: node --require /ops/drain.cjs apps/web/server.js
//
// GET /__ready  200 while this container's colour stands in the ready file, else 503. Caddy asks twice a second, and
//               sends requests only where the answer is 200. The file is on the host, so the answer survives a reboot.
// SIGTERM       not ready from now on, and each response closes its connection. After DRAIN_MS, when Caddy has long
//               gone elsewhere, the server stops listening, finishes what is running and exits with 0.
'use strict'
const { readFileSync } = require('node:fs')
const { Server } = require('node:http')

const colour = process.env.COLOUR || ''
const readyFile = process.env.READY_FILE || '/run/live/colours'
const drainMs = milliseconds('DRAIN_MS', 3_000)
// Below stop_grace_period, so that what still runs is cut by us, with a line in the log, and not by SIGKILL.
const limitMs = milliseconds('STOP_LIMIT_MS', 40_000)

/** Servers that listen. */
const servers = new Set()
/** SIGTERM handlers of the program itself. */
const handlers = []
let stopping = false

function milliseconds(name, otherwise) {
  const value = Number.parseInt(process.env[name] ?? '', 10)
  return value >= 0 ? value : otherwise
}

function ready() {
  if (stopping || colour === '') return false
  try {
    return readFileSync(readyFile, 'utf8').split(/\s+/).includes(colour)
  } catch {
    return false
  }
}

function answerReady(response) {
  const yes = ready()
  if (!yes) response.shouldKeepAlive = false
  response.writeHead(yes ? 200 : 503, { 'content-type': 'text/plain', 'cache-control': 'no-store' })
  response.end(yes ? 'ready\n' : 'not ready\n')
}

const emit = Server.prototype.emit
Server.prototype.emit = function (event, ...rest) {
  const [request, response] = rest
  if (event === 'listening') servers.add(this)
  else if (event === 'close') servers.delete(this)
  else if (event === 'request') {
    if (stopping) response.shouldKeepAlive = false
    if (/^\/__ready(\?|$)/.test(request.url)) {
      answerReady(response)
      return true
    }
  }
  return emit.call(this, event, ...rest)
}

// Next closes its listener the moment SIGTERM comes, which is too early, but it also waits for work scheduled with
// after(), which only Next knows of: so its handler is kept back and called when the drain is over.
delete process.env.NEXT_MANUAL_SIG_HANDLE
const on = process.on
process.on = process.addListener = function (event, listener) {
  if (event !== 'SIGTERM') return on.call(this, event, listener)
  handlers.push(listener)
  return this
}

on.call(process, 'SIGTERM', () => {
  if (stopping) return
  stopping = true
  setTimeout(close, servers.size > 0 ? drainMs : 0)
  setTimeout(() => {
    console.error(`drain: requests still running after ${limitMs} ms are cut`)
    process.exit(0)
  }, limitMs).unref()
})

// Next leaves with 143. A stop that was asked for is no failure.
on.call(process, 'exit', () => {
  if (stopping) process.exitCode = 0
})

function close() {
  if (handlers.length > 0) for (const handler of handlers) handler.call(process, 'SIGTERM', 15)
  else for (const server of servers) server.close()
  // A response that began before SIGTERM leaves its connection open, and an open one keeps the server from closing.
  setInterval(() => {
    for (const server of servers) server.closeIdleConnections()
    if (servers.size === 0 && handlers.length === 0) process.exit(0)
  }, 50)
}
