export type Answer = { status: number; body: unknown }

export const ok = (body: unknown): Answer => ({ status: 200, body })
export const created = (body: unknown): Answer => ({ status: 201, body })
export const failure = (status: number, code: string, message: string): Answer => ({
  status,
  body: { error: { code, message, details: null } },
})
export const notFound = (what: string): Answer => failure(404, 'not_found', `${what} not found`)
export const invalid = (message: string): Answer => failure(422, 'invalid_input', message)

/** What a list carries beside its entries. */
export const page = (total_entries: number, number = 1, per_page = 50) => {
  const last_page = Math.max(1, Math.ceil(total_entries / per_page))
  const [previous_page, next_page] = [number > 1 ? number - 1 : null, number < last_page ? number + 1 : null]
  const pagination = { page: number, per_page, previous_page, next_page, last_page, total_entries }
  return { meta: { pagination } }
}
