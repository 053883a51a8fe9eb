'use strict'
// An emulator in a process of its own, and its control API. HUBLAKE names the
// program; HUBLAKE_RECORD, if set, the file to which it adds every exchange.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const readline = require('node:readline')

class Emulator {
  static async start(...options) {
    const record = process.env.HUBLAKE_RECORD
    const recording = record ? ['--record', record] : []
    const emulator = new Emulator()
    emulator.process = spawn(process.env.HUBLAKE, ['emulator', '--port', '0', ...options, ...recording], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await once(readline.createInterface({ input: emulator.process.stdout }), 'line')
    emulator.url = /^listening on (http:\/\/\S+)$/.exec(line)[1]
    return emulator
  }

  // As Ctrl-C does: it writes what it has recorded before it stops.
  async stop() {
    const ended = once(this.process, 'exit')
    this.process.kill('SIGINT')
    await ended
  }

  async control(path, body, method) {
    const answer = await fetch(`${this.url}/_emulator/${path}`, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    return answer.json()
  }

  fault(path, fault) {
    return this.control('faults', { path, ...fault })
  }

  // How many calls each endpoint answered, by status.
  async counts() {
    return (await this.control('log?since=0')).counts
  }
}

module.exports = { Emulator }
