/** Calls that come together become one: what is asked for until all that is ready has run goes out at once. */

/** `call` gets at most `max` items and answers them in the same order. Each caller gets the answers to its own; a failure is told to all of the group. */
export function groupCalls<Item, Answer>(
  call: (items: readonly Item[]) => Promise<readonly Answer[]>,
  max: number,
): (items: readonly Item[]) => Promise<readonly Answer[]> {
  let gathering: { readonly items: Item[]; readonly answers: Promise<readonly Answer[]> } | undefined;

  function gather(): { readonly items: Item[]; readonly answers: Promise<readonly Answer[]> } {
    const items: Item[] = [];
    const answers = afterAllThatIsReady().then(() => {
      if (gathering?.items === items) gathering = undefined;
      return call(items);
    });
    return { items, answers };
  }

  async function ask(items: readonly Item[]): Promise<readonly Answer[]> {
    if (gathering === undefined || gathering.items.length + items.length > max) gathering = gather();
    const { items: all, answers } = gathering;
    const from = all.length;
    all.push(...items);
    return (await answers).slice(from, from + items.length);
  }

  return async (items) => {
    if (items.length <= max) return ask(items);
    const parts: Promise<readonly Answer[]>[] = [];
    for (let from = 0; from < items.length; from += max) parts.push(ask(items.slice(from, from + max)));
    return (await Promise.all(parts)).flat();
  };
}

/** Behind every promise that is settled by now: those who wait for the same answer ask on together. */
export function afterAllThatIsReady(): Promise<void> {
  return new Promise((resolve) => void Promise.resolve().then(() => process.nextTick(resolve)));
}
