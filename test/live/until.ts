/** Resolves once `holds`, which may also reject meanwhile; gives up after `maxMs`. */
export async function until(holds: () => boolean | Promise<boolean>, maxMs = 20_000): Promise<void> {
  const giveUpAt = performance.now() + maxMs;
  while (!(await (async () => await holds())().catch(() => false))) {
    if (performance.now() > giveUpAt) throw new Error(`not within ${maxMs} ms`);
    await Bun.sleep(5);
  }
}
