/** A small plot: cost against size, two lines in each panel, readable on a light and on a dark page. */

export interface Point {
  x: number
  y: number
}

export interface Panel {
  title: string
  seed: Point[]
  ours: Point[]
}

const WIDTH = 270
const HEIGHT = 220
const frame = { left: 44, right: WIDTH - 14, top: 30, bottom: HEIGHT - 34 }
const colours = { seed: '#d9730d', ours: '#2f80ed' } as const

/** An SVG of panels side by side. The size grows to the right from 0; the cost is on a logarithmic axis. */
export function plot(panels: Panel[]): string {
  const width = WIDTH * panels.length
  const drawn = panels.map((panel, i) => `<g transform="translate(${i * WIDTH} 0)">\n${draw(panel)}\n</g>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT}" width="${width}" height="${HEIGHT}" role="img" aria-label="cost against size of the database" font-family="sans-serif" font-size="11" fill="#808080">
${drawn.join('\n')}
</svg>
`
}

function draw({ title, seed, ours }: Panel): string {
  const all = [...seed, ...ours]
  const lowest = Math.floor(Math.log10(Math.min(...all.map(({ y }) => y))))
  const highest = Math.max(lowest + 1, Math.ceil(Math.log10(Math.max(...all.map(({ y }) => y)))))
  const largest = Math.max(...all.map(({ x }) => x))
  const x = (value: number) => round(frame.left + (value / largest) * (frame.right - frame.left - 30))
  const y = (value: number) =>
    round(frame.bottom - ((Math.log10(value) - lowest) / (highest - lowest)) * (frame.bottom - frame.top))
  const decades = Array.from({ length: highest - lowest + 1 }, (_, i) => 10 ** (lowest + i))
  const grid = decades.map(
    (value) =>
      `<path d="M${frame.left} ${y(value)}H${frame.right}" stroke="#808080" stroke-opacity=".3"/><text x="${frame.left - 6}" y="${y(value) + 4}" text-anchor="end">${short(value)}</text>`,
  )
  const marks = seed.map(
    (point) =>
      `<text x="${x(point.x)}" y="${frame.bottom + 15}" text-anchor="middle">${short(point.x)}</text>`,
  )
  const line = (name: 'seed' | 'ours', points: Point[]) => {
    const path = points.map((point) => `${x(point.x)} ${y(point.y)}`).join('L')
    const dots = points.map((point) => `<circle cx="${x(point.x)}" cy="${y(point.y)}" r="3"/>`).join('')
    const last = points.at(-1) as Point
    return `<g fill="${colours[name]}"><path d="M${path}" fill="none" stroke="${colours[name]}" stroke-width="2"/>${dots}<text x="${x(last.x) + 7}" y="${y(last.y) + 4}">${name}</text></g>`
  }
  return [
    `<text x="${frame.left}" y="16" font-weight="bold">${title}</text>`,
    ...grid,
    ...marks,
    `<text x="${(frame.left + frame.right) / 2}" y="${HEIGHT - 4}" text-anchor="middle">GB on disk</text>`,
    line('seed', seed),
    line('ours', ours),
  ].join('\n')
}

const round = (value: number) => Math.round(value * 10) / 10
const short = (value: number) => String(Number(value.toPrecision(2)))
