import { parseArgs } from 'node:util'
import { labDown } from './world.ts'

try {
  const { values } = parseArgs({ options: { all: { type: 'boolean', default: false } } })
  await labDown(values)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
