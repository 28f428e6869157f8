// What the three uses have in common: a visitor's name, lists that follow, and topics' addresses.

const ITEMS_MAX = 200;
export const LAST = 20; // Messages from before that a newcomer is shown.

export const find = (id) => document.getElementById(id);
export const topicUrl = (topic) => new URL(`../topics/${encodeURIComponent(topic)}`, import.meta.url);

/** Something of this tab alone, which a reload keeps. */
export const kept = (name, make) => {
  const value = sessionStorage.getItem(`tidings-${name}`) ?? make();
  sessionStorage.setItem(`tidings-${name}`, value);
  return value;
};

export const name = find('chat-name');
name.value = kept('name', () => `guest ${Math.floor(100 + Math.random() * 900)}`);
name.addEventListener('change', () => {
  name.value ||= 'guest';
  sessionStorage.setItem('tidings-name', name.value);
});

/** Adds a line to a list, which follows unless its reader has scrolled up. */
export function addLine(list, { at, who, text, kind }) {
  const follows = list.scrollTop + list.clientHeight > list.scrollHeight - 30;
  const item = document.createElement('li');
  if (kind) item.className = kind;
  if (at !== undefined) {
    const time = document.createElement('time');
    time.textContent = new Date(at).toLocaleTimeString('en-GB');
    item.append(time);
  }
  if (who !== undefined) {
    const strong = document.createElement('strong');
    strong.textContent = `${who} `;
    item.append(strong);
  }
  item.append(text);
  list.append(item);
  if (list.childElementCount > ITEMS_MAX) list.firstElementChild.remove();
  if (follows) list.scrollTop = list.scrollHeight;
  return item;
}

export const gapText = (count) => `${count ?? 'Some'} messages are gone: the server keeps only so many.`;
export const asObject = (data) => (typeof data === 'object' && data !== null ? data : { text: String(data) });
