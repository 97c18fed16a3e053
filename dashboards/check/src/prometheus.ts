// Asks Prometheus as Grafana's data source does, and gives what it makes of the answers.
import { type DataFrame, FieldType, type Labels, toDataFrame } from '@grafana/data';

export interface Target {
  refId: string;
  expr: string;
  legendFormat: string;
  format: string;
  range: boolean;
}

interface Series {
  metric: Labels;
  value?: [number, string];
  values?: Array<[number, string]>;
}

export interface Query {
  url: string;
  from: number;
  to: number;
  step: number;
}

export async function ask({ url, from, to, step }: Query, target: Target, expr: string): Promise<Series[]> {
  const call = target.range ? 'query_range' : 'query';
  const parameters: Record<string, string> = target.range
    ? { query: expr, start: `${from}`, end: `${to}`, step: `${step}` }
    : { query: expr, time: `${to}` };
  const answer = await fetch(`${url}/api/v1/${call}?${new URLSearchParams(parameters)}`);
  const body = await answer.json();
  if (body.status !== 'success') {
    throw new Error(`${expr}: ${body.error}`);
  }
  return body.data.result;
}

const number = (text: string) => (text === 'NaN' ? null : Number(text));

/** One frame a series; a range's missing points are gaps. */
export function frames(series: Series[], target: Target): DataFrame[] {
  return series.map(({ metric, value, values }) => {
    const points = values ?? (value ? [value] : []);
    const { __name__: metricName, ...labels } = metric;
    const name = target.legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? '') || metricName || 'Value';
    return toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: points.map(([time]) => time * 1000), config: {} },
        { name: 'Value', type: FieldType.number, labels, values: points.map(([, text]) => number(text)), config: { displayNameFromDS: name } },
      ],
    });
  });
}

/** One frame a query, with a column for each label. */
export function table(series: Series[], target: Target, alone: boolean): DataFrame {
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].filter((label) => label !== '__name__').sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map(({ value }) => value![0] * 1000), config: {} },
      ...labels.map((label) => ({ name: label, type: FieldType.string, values: series.map(({ metric }) => metric[label] ?? ''), config: {} })),
      { name: alone ? 'Value' : `Value #${target.refId}`, type: FieldType.number, values: series.map(({ value }) => number(value![1])), config: {} },
    ],
  });
}
