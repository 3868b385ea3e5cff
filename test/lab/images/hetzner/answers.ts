export type Answer = { status: number; body: unknown }

export const ok = (body: unknown): Answer => ({ status: 200, body })
export const created = (body: unknown): Answer => ({ status: 201, body })
export const failure = (status: number, code: string, message: string): Answer => ({
  status,
  body: { error: { code, message, details: null } },
})
export const notFound = (what: string): Answer => failure(404, 'not_found', `${what} not found`)
export const invalid = (message: string): Answer => failure(422, 'invalid_input', message)

/** What a list carries beside its entries; the lab's fit on one page. */
export const page = (total_entries: number) => ({
  meta: {
    pagination: { page: 1, per_page: 50, previous_page: null, next_page: null, last_page: 1, total_entries },
  },
})
