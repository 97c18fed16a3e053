// What a dashboard's file is made of, by the names under which schema.mjs asks for it.
import type { Dashboard, GraphFieldConfig, TableFieldOptions } from '@grafana/schema';
import type { Options as BarGauge } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as Table } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Nothing = Record<string, never>;

export interface Schemas {
  dashboard: Dashboard;
  stat: { options: Stat; custom: Nothing };
  bargauge: { options: BarGauge; custom: Nothing };
  table: { options: Table; custom: Partial<TableFieldOptions> };
  timeseries: { options: TimeSeries; custom: GraphFieldConfig };
}
