/** localStorage that may be full, forbidden or hold nonsense: reading gives null, writing says whether it worked. */

export function readStored<T>(key: string): T | null {
  try {
    const text = localStorage.getItem(key);
    return text === null ? null : (JSON.parse(text) as T);
  } catch (cause) {
    console.debug(`${key} could not be read`, cause);
    return null;
  }
}

export function writeStored(key: string, value: unknown): boolean {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch (cause) {
    console.debug(`${key} could not be kept`, cause);
    return false;
  }
}

export function dropStored(key: string): void {
  try {
    localStorage.removeItem(key);
  } catch (cause) {
    console.debug(`${key} could not be dropped`, cause);
  }
}

export function storedKeys(prefix: string): string[] {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  } catch (cause) {
    console.debug('localStorage could not be listed', cause);
    return [];
  }
}
