// Holds dashboards against the schemas that Grafana publishes as types: the file as a whole, and each panel's options and
// field settings by its kind. Unknown properties are misspellings.
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';

const schema = createGenerator({
  path: new URL('src/schema.ts', import.meta.url).pathname,
  tsconfig: new URL('tsconfig.json', import.meta.url).pathname,
  type: 'Schemas',
  additionalProperties: false,
  // Grafana has several types of one name.
  expose: 'none',
  topRef: false,
  skipTypeCheck: true,
}).createSchema('Schemas');
const ajv = new Ajv({ strict: false, allErrors: true }).addSchema(schema, 'grafana');
const part = (path) => ajv.compile({ $ref: `grafana#/properties/${path}` });
const whole = part('dashboard');
const kinds = Object.fromEntries(
  ['stat', 'bargauge', 'table', 'timeseries'].map((kind) => [
    kind,
    { options: part(`${kind}/properties/options`), custom: part(`${kind}/properties/custom`) },
  ])
);

const complaints = [];
const hold = (validate, value, place) => {
  if (!validate(value)) {
    for (const { instancePath, message, params } of validate.errors) {
      complaints.push(`${place}${instancePath} ${message} ${JSON.stringify(params)}`);
    }
  }
};

let panels = 0;
for (const file of process.argv.slice(2)) {
  const dashboard = JSON.parse(readFileSync(file, 'utf8'));
  hold(whole, dashboard, file);
  for (const panel of dashboard.panels.filter(({ type }) => type !== 'row')) {
    const place = `${file}: ${panel.title}`;
    const kind = kinds[panel.type];
    if (kind === undefined) {
      complaints.push(`${place}: no schema is known for the kind ${panel.type}`);
      continue;
    }
    hold(kind.options, panel.options, place);
    hold(kind.custom, panel.fieldConfig.defaults.custom ?? {}, place);
    panels += 1;
  }
}
if (panels === 0) {
  complaints.push('there is no panel to look at');
}
complaints.forEach((complaint) => console.error(complaint));
console.log(`${panels} panels of ${process.argv.length - 2} dashboards`);
process.exitCode = complaints.length === 0 ? 0 : 1;
