import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Plant is a `yunchu serve` with three simulated units, as somebody starts it for
 * the first time. */
export interface Plant {
  url: string
  setupToken: string
  stop: () => Promise<void>
}

const config = `
apiVersion: yunchu/v1
kind: Config
listen: 127.0.0.1:0
simulation: true
devices:
  - {id: ess-1, device: sim, model: ess-100kw-215kwh, soc: 50}
  - {id: ess-2, device: sim, model: ess-100kw-215kwh, soc: 50}
  - {id: ess-3, device: sim, model: ess-100kw-215kwh, soc: 50}
`

export async function start(): Promise<Plant> {
  const program = process.env.YUNCHU
  if (!program) throw new Error('set YUNCHU to the program: go build -o /tmp/yunchu . && YUNCHU=/tmp/yunchu npm run e2e')
  const dir = await mkdtemp(join(tmpdir(), 'portal-'))
  await writeFile(join(dir, 'plant.yaml'), config)
  const child = spawn(program, ['serve', '-c', 'plant.yaml'], { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
  const said: string[] = []
  try {
    const [url, setupToken] = await Promise.all([find(child, said, /(http:\/\/127\.0\.0\.1:\d+)/), find(child, said, /setup token: (\S+)/)])
    return { url, setupToken, stop: () => stop(child, dir) }
  } catch (err) {
    await stop(child, dir)
    throw new Error(`${String(err)}\n${said.join('\n')}`)
  }
}

// find is what the plant says of something, on either of its outputs.
function find(child: ChildProcess, said: string[], what: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line)
        const m = what.exec(line)
        if (m) resolve(m[1]!)
      })
    }
    child.once('exit', (code) => reject(new Error(`serve ended with ${code} before it said ${what}`)))
    child.once('error', reject)
  })
}

async function stop(child: ChildProcess, dir: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  await rm(dir, { recursive: true, force: true })
}
