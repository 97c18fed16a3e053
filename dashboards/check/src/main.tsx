// Draws a dashboard's panels from its own file with Grafana's own components: time series, stat, bar gauge, table.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createTheme,
  type DataFrame,
  dateTime,
  FieldConfigOptionsRegistry,
  type FieldConfigPropertyItem,
  getFieldDisplayValues,
  type GrafanaTheme2,
  standardTransformers,
  standardTransformersRegistry,
  ThemeContext,
  transformDataFrame,
} from '@grafana/data';
import { BarGauge, BigValue, GlobalStyles, PanelChrome, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { Component, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { firstValueFrom } from 'rxjs';

import { ask, frames, type Query, table, type Target } from './prometheus';

const CELL_HEIGHT = 30;
const GAP = 8;
const COLUMNS = 24;

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  interval?: string;
  targets: Target[];
  fieldConfig: any;
  options: any;
  transformations?: any[];
}

interface Outcome {
  title: string;
  kind: string;
  error?: string;
  series: number;
}

const choice = new URLSearchParams(location.search);
const seconds = Number(choice.get('seconds') ?? '600');
const theme: GrafanaTheme2 = createTheme({ colors: { mode: choice.get('theme') === 'dark' ? 'dark' : 'light' } });
// The label of a full minute needs room before the right edge.
const now = Date.now() / 1000;
const to = seconds > 120 ? Math.floor((now + 20) / 60) * 60 - 20 : now;
const from = to - seconds;
const timeRange = { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: `now-${seconds}s`, to: 'now' } };

(window as any).__grafana_public_path__ = '/';

// Some stand there twice, under an older name.
const transformers = new Map(Object.values(standardTransformers).map((transformer: any) => [transformer.id, transformer]));
standardTransformersRegistry.setInit(
  () => [...transformers.values()].map((transformation: any) => ({ id: transformation.id, name: transformation.name, transformation: () => Promise.resolve(transformation), imageDark: '', imageLight: '', editor: () => null })) as any
);

// Grafana's panels register their properties; these are the ones that our files set.
const properties = ['unit', 'min', 'max', 'decimals', 'noValue', 'links', 'color', 'thresholds', 'mappings'];
const ownProperties = ['drawStyle', 'lineWidth', 'fillOpacity', 'showPoints', 'spanNulls', 'axisPlacement', 'stacking', 'align', 'cellOptions', 'filterable', 'width'];
const property = (path: string, isCustom: boolean) =>
  ({ id: isCustom ? `custom.${path}` : path, path, name: path, isCustom, process: (value: unknown) => value, shouldApply: () => true, settings: {} }) as unknown as FieldConfigPropertyItem;
const registry = new FieldConfigOptionsRegistry(() => [
  ...properties.map((path) => property(path, false)),
  ...ownProperties.map((path) => property(path, true)),
]);

function interpolated(expr: string, step: number): string {
  return expr
    .replaceAll('$__rate_interval', `${Math.max(step + 1, 4)}s`)
    .replaceAll('$__range_s', `${seconds}`)
    .replaceAll('$__range', `${seconds}s`)
    .replaceAll('$cluster', '.*')
    .replaceAll('$instance', choice.get('instance') ?? '.+')
    .replaceAll('$runtime', '.+');
}

async function load(panel: Panel): Promise<DataFrame[]> {
  const step = Math.max(Math.ceil(seconds / 300), panel.interval === '1m' ? Number(choice.get('minute') ?? '60') : 1);
  // As Grafana does, points lie at multiples of the step.
  const query: Query = { url: choice.get('prometheus')!, from: Math.floor(from / step) * step, to: Math.floor(to / step) * step, step };
  const answers = await Promise.all(panel.targets.map((target) => ask(query, target, interpolated(target.expr, step))));
  let data = panel.targets.flatMap((target, at) =>
    target.format === 'table' ? [table(answers[at], target, panel.targets.length === 1)] : frames(answers[at], target)
  );
  if (panel.transformations) {
    data = await firstValueFrom(transformDataFrame(panel.transformations, data));
  }
  data = applyFieldOverrides({ data, fieldConfig: panel.fieldConfig, replaceVariables: (text) => text, theme, timeZone: 'utc', fieldConfigRegistry: registry });
  cacheFieldDisplayNames(data);
  return data;
}

function drawn(panel: Panel, data: DataFrame[], width: number, height: number): ReactNode {
  const { options, fieldConfig } = panel;
  const values = () =>
    getFieldDisplayValues({ fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: (text) => text, theme, data, timeZone: 'utc' });
  if (data.every(({ length }) => length === 0) && panel.type !== 'stat') {
    return <div style={{ padding: 16 }}>{fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  switch (panel.type) {
    case 'timeseries':
      return <TimeSeries frames={data} width={width} height={height} timeRange={timeRange} timeZone="utc" legend={options.legend} options={options} />;
    case 'stat': {
      const shown = values();
      return (
        <div style={{ display: 'flex' }}>
          {shown.map(({ display }, at) => (
            <BigValue key={at} value={display} width={width / shown.length} height={height} theme={theme} colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode} textMode={shown.length > 1 ? 'value_and_name' : options.textMode} />
          ))}
        </div>
      );
    }
    case 'bargauge': {
      const shown = values();
      return shown.map(({ display, field }, at) => (
        <BarGauge key={at} value={display} field={field} width={width} height={Math.min(options.maxVizHeight, height / shown.length)} theme={theme} orientation={options.orientation} displayMode={options.displayMode} namePlacement={options.namePlacement} valueDisplayMode={options.valueMode} showUnfilled={options.showUnfilled} />
      ));
    }
    case 'table':
      return <TableNG data={data[0]} width={width} height={height} timeRange={timeRange} cellHeight={options.cellHeight} sortBy={options.sortBy} fieldConfig={fieldConfig} />;
    default:
      throw new Error(`panels of the kind ${panel.type} cannot be drawn here`);
  }
}

/** A panel that throws says so, and the others are drawn all the same. */
class Guard extends Component<{ outcome: Outcome; children: ReactNode }, { failed?: string }> {
  state: { failed?: string } = {};
  static getDerivedStateFromError(error: Error) {
    return { failed: error.message };
  }
  componentDidCatch(error: Error) {
    this.props.outcome.error = error.message;
  }
  render() {
    return this.state.failed ?? this.props.children;
  }
}

async function main() {
  const dashboard = await (await fetch(`/${choice.get('dashboard')}`)).json();
  const width = document.documentElement.clientWidth - 2 * GAP;
  const column = (width + GAP) / COLUMNS;
  const outcomes: Outcome[] = [];
  const cells = await Promise.all(
    dashboard.panels.map(async (panel: Panel) => {
      const { x, y, w, h } = panel.gridPos;
      const box = { position: 'absolute', left: x * column, top: y * (CELL_HEIGHT + GAP), width: w * column - GAP, height: h * (CELL_HEIGHT + GAP) - GAP } as const;
      if (panel.type === 'row') {
        return <h4 key={panel.id} style={{ ...box, margin: 0, lineHeight: `${box.height}px` }}>{panel.title}</h4>;
      }
      const outcome: Outcome = { title: panel.title, kind: panel.type, series: 0 };
      outcomes.push(outcome);
      const data = await load(panel).catch((error: Error) => ((outcome.error = error.message), []));
      outcome.series = data.filter(({ length }) => length > 0).length;
      return (
        <div key={panel.id} id={`panel-${panel.id}`} style={box}>
          <Guard outcome={outcome}>
            <PanelChrome title={panel.title} width={box.width} height={box.height} padding={panel.type === 'table' || panel.type === 'timeseries' ? 'none' : 'md'}>
              {(innerWidth: number, innerHeight: number) => drawn(panel, data, innerWidth, innerHeight)}
            </PanelChrome>
          </Guard>
        </div>
      );
    })
  );
  const rows = Math.max(...dashboard.panels.map(({ gridPos }: Panel) => gridPos.y + gridPos.h));
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ margin: GAP }}>
        <h2 style={{ margin: `0 0 ${GAP}px` }}>{dashboard.title}</h2>
        <div style={{ position: 'relative', height: rows * (CELL_HEIGHT + GAP) }}>{cells}</div>
      </div>
    </ThemeContext.Provider>
  );
  // Components draw on canvases a few frames after they are mounted.
  const frame = () => new Promise(requestAnimationFrame);
  for (let count = 0; count < 30; count += 1) {
    await frame();
  }
  (window as any).drawn = outcomes;
}

main().catch((error: Error) => ((window as any).drawn = [{ title: 'the dashboard', kind: 'none', error: error.message, series: 0 }]));
