// Shows /openapi.json: a group for each first word of a path, an operation a line, its parameters and bodies inside.
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

const make = (tag, text, ...children) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};

const marked = (tag, name, text) => Object.assign(make(tag, text), { className: name });

const follow = (document_, value) =>
  value?.$ref ? value.$ref.slice(2).split('/').reduce((at, key) => at?.[key.replaceAll('~1', '/')], document_) : value;

// A schema with its references put in place, as deep as one reads it.
const shown = (document_, schema, depth = 0) => {
  const found = follow(document_, schema);
  if (!found || typeof found !== 'object' || depth > 6) return found;
  if (Array.isArray(found)) return found.map((item) => shown(document_, item, depth + 1));
  return Object.fromEntries(Object.entries(found).map(([key, value]) => [key, shown(document_, value, depth + 1)]));
};

const parameters = (document_, operation) => {
  const rows = (operation.parameters ?? []).map((parameter) => {
    const { name, in: place, required, description, schema } = follow(document_, parameter);
    const about = description ?? Object.keys(follow(document_, schema)?.properties ?? {}).join(', ');
    return make('tr', '', make('td', name), make('td', `${place}${required ? ', needed' : ''}`), make('td', about));
  });
  return rows.length ? [make('h3', 'Parameters'), make('table', '', make('tbody', '', ...rows))] : [];
};

const body = (document_, title, content) => {
  const [type, media] = Object.entries(content ?? {})[0] ?? [];
  if (!type) return [];
  return [make('h3', `${title} (${type})`), make('pre', JSON.stringify(shown(document_, media.schema ?? {}), null, 2))];
};

const inside = (document_, operation) => {
  const answers = Object.entries(operation.responses ?? {}).flatMap(([status, answer]) => {
    const { description, content } = follow(document_, answer);
    return status === 'default' ? [] : [make('p', `${status}: ${description}`), ...body(document_, `Answer ${status}`, content)];
  });
  const asked = body(document_, 'Body', follow(document_, operation.requestBody)?.content);
  return [...parameters(document_, operation), ...asked, make('h3', 'Answers'), ...answers];
};

const line = (document_, path, method, operation) => {
  const head = make(
    'summary', '', marked('span', 'method', method.toUpperCase()), marked('span', 'path', path), marked('span', 'says', operation.summary),
  );
  const details = make('details', '', head);
  details.dataset.words = `${method} ${path} ${operation.summary}`.toLowerCase();
  // The inside is made when it is opened: a whole schema has hundreds of them.
  details.addEventListener('toggle', () => {
    if (details.childElementCount === 1) details.append(Object.assign(make('div', '', ...inside(document_, operation)), { className: 'inside' }));
  });
  return details;
};

const groupOf = (path) => (path.startsWith('/rest/v1/rpc/') ? 'Commands' : path.startsWith('/rest/v1/') ? 'Tables' : 'Everything else');

const show = (document_) => {
  document.getElementById('about').replaceChildren(
    `${document_.info.title} ${document_.info.version}, OpenAPI ${document_.openapi}: `,
    Object.assign(make('a', '/openapi.json'), { href: '/openapi.json' }),
  );
  const groups = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    const group = groupOf(path);
    if (!groups.has(group)) groups.set(group, make('section', '', make('h2', group)));
    groups.get(group).append(...METHODS.filter((method) => item[method]).map((method) => line(document_, path, method, item[method])));
  }
  document.getElementById('paths').replaceChildren(...groups.values());
};

document.getElementById('find').addEventListener('input', ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const details of document.querySelectorAll('details')) details.hidden = !details.dataset.words.includes(wanted);
});

fetch('/openapi.json')
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`${response.status}`))))
  .then(show)
  .catch((error) => {
    document.getElementById('about').textContent = `/openapi.json could not be read (${error.message}). Reload the page.`;
  });
