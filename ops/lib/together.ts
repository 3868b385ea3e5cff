/** Works on all items side by side and waits for every one, so that none goes on behind a failure; then throws the first. */
export async function together<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const ended = await Promise.allSettled(items.map(work))
  return ended.map((end) => {
    if (end.status === 'rejected') throw end.reason
    return end.value
  })
}
