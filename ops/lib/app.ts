import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Manifest {
  packageManager?: string
  engines?: { node?: string }
  dependencies?: Record<string, string>
}

/**
 * Looks at the app's checkout without running anything of it.
 * @param nodeMajor the major version of Node that the image has
 * @returns every problem, each with its exact mend; empty when the app can be built
 */
export function problemsOf(dir: string, nodeMajor: number): string[] {
  if (!existsSync(join(dir, 'package.json')))
    return [`${dir} has no package.json: pass the app's checkout with --app DIR or APP_DIR`]
  const [root, web] = [manifest(dir), manifest(join(dir, 'apps/web'))]
  if (typeof root === 'string' || typeof web === 'string')
    return [root, web].filter((one) => typeof one === 'string')
  return [
    ...lockfile(dir, root),
    ...nodeEngine(root, nodeMajor),
    ...nextConfig(dir, web),
    ...healthRoute(dir),
    ...migrations(dir),
  ]
}

/** A package.json; none is an empty one, and one that is not JSON is a problem in words. */
function manifest(dir: string): Manifest | string {
  const file = join(dir, 'package.json')
  if (!existsSync(file)) return {}
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Manifest
  } catch (error) {
    return `${file} is not JSON: ${(error as Error).message}`
  }
}

function lockfile(dir: string, root: Manifest): string[] {
  const problems = []
  if (!existsSync(join(dir, 'pnpm-lock.yaml')))
    problems.push('pnpm-lock.yaml is missing: run `pnpm install` and commit it')
  if (!root.packageManager?.startsWith('pnpm@'))
    problems.push('package.json has no "packageManager": "pnpm@9.15.0"')
  return problems
}

/** Judges a range of one part; pnpm judges the others while it installs. */
function nodeEngine(root: Manifest, major: number): string[] {
  const range = root.engines?.node
  if (!range) return []
  const [, sign = '', wanted] = /^(>=|\^|~)?\s*v?(\d+)(\.[\dx*]+){0,2}$/.exec(range.trim()) ?? []
  if (wanted === undefined) return []
  const fits = sign === '>=' ? major >= Number(wanted) : major === Number(wanted)
  return fits
    ? []
    : [`package.json wants Node ${range}, the image has ${major}: set NODE_IMAGE to a fitting exact tag`]
}

function nextConfig(dir: string, web: Manifest): string[] {
  const config = firstOf(dir, ['next.config.ts', 'next.config.mjs', 'next.config.js'])
  if (!config) return ['apps/web/next.config.ts is missing']
  const problems = []
  if (!/output:\s*['"]standalone['"]/.test(config))
    problems.push('apps/web/next.config.ts lacks: output: "standalone",')
  if (!/outputFileTracingRoot:/.test(config)) {
    problems.push('apps/web/next.config.ts lacks: outputFileTracingRoot: path.join(process.cwd(), "../../"),')
  }
  if (/import\.meta\.(url|dirname)/.test(config)) {
    problems.push(
      'apps/web/next.config.ts uses import.meta, which Next 16 cannot load there: use process.cwd()',
    )
  }
  const workspace = Object.entries(web.dependencies ?? {}).filter(([, version]) =>
    version.startsWith('workspace:'),
  )
  const left = workspace.map(([name]) => name).filter((name) => !config.includes(name))
  if (left.length > 0) problems.push(`apps/web/next.config.ts: transpilePackages lacks ${left.join(', ')}`)
  return problems
}

/** Next 16 renamed middleware.ts to proxy.ts and refuses to build with both. */
function healthRoute(dir: string): string[] {
  const problems = []
  if (!firstOf(dir, ['app/api/health/route.ts', 'app/api/health/route.js'])) {
    problems.push(
      'apps/web/app/api/health/route.ts is missing: it must query the database (select 1) and answer 200 or 503',
    )
  }
  const middleware = firstOf(dir, ['middleware.ts', 'middleware.js'])
  const proxy = firstOf(dir, ['proxy.ts', 'proxy.js'])
  if (middleware && proxy)
    problems.push('apps/web has both middleware.ts and proxy.ts: keep proxy.ts (Next 16)')
  const guard = proxy ?? middleware
  if (guard && !/api\/health|\(\?!api[|/)]/.test(guard)) {
    problems.push(
      `apps/web/${proxy ? 'proxy' : 'middleware'}.ts does not exempt /api/health: add it to the matcher's exceptions`,
    )
  }
  return problems
}

function migrations(dir: string): string[] {
  const missing = ['packages/db/migrate.mjs', 'packages/db/migrations/meta/_journal.json'].filter(
    (f) => !existsSync(join(dir, f)),
  )
  return missing.map(
    (file) =>
      `${file} is missing: the migrate image runs drizzle's migrator from packages/db (README, "What the app must have")`,
  )
}

function firstOf(dir: string, files: string[]): string | undefined {
  const places = ['apps/web', 'apps/web/src'].flatMap((place) => files.map((file) => join(dir, place, file)))
  const found = places.find((file) => existsSync(file))
  return found ? readFileSync(found, 'utf8') : undefined
}
