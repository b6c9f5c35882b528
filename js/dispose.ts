/**
 * Gives a class the method that `using` or `await using` calls, where the runtime has the
 * symbol: Node 20 and older browsers do not know all of them.
 */
export function disposes<Type extends object>(prototype: Type, which: "dispose" | "asyncDispose", method: keyof Type): void {
  const symbol: symbol | undefined = Symbol[which];
  if (symbol === undefined) return;
  Object.defineProperty(prototype, symbol, { value: prototype[method], writable: true, configurable: true });
}
