import { prepareApp } from './app.ts'
import { ops, tryOps } from './ops.ts'
import { labUp, type World } from './world.ts'

/** The lab with a release of the fixture live on its server; what is already so is left as it is. */
export async function deployed(): Promise<World> {
  const world = await labUp()
  const { stdout } = await tryOps(['status', '--json'])
  const report: { live?: unknown; certificate?: unknown } = stdout.startsWith('{') ? JSON.parse(stdout) : {}
  if (report.live && report.certificate) return world
  await prepareApp()
  for (const script of ['build', 'bootstrap', 'deploy'] as const) await ops([script])
  return world
}
