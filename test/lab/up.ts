import { parseArgs } from 'node:util'
import { labUp } from './world.ts'

try {
  const { values } = parseArgs({ options: { fresh: { type: 'boolean', default: false } } })
  const lab = await labUp(values)
  for (const standIn of lab.standIns) console.log(`stand-in: ${standIn}`)
  console.log(`The lab is up. The scripts reach it with --env ${lab.env}`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
