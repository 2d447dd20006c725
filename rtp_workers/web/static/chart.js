// A chart over time, on uPlot: follows the element's size and the system's colours. Load uPlot before this module.
import { brief } from "./live.js";

const clock = (at_s) => new Date(at_s * 1000).toLocaleTimeString("en-GB");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Draws series over time into `element`.
 *
 * series: [{label, colour: "--accent", fill: true, dash: [5, 4], stepped: true}], one for each column after the times.
 * Returns a function that takes [times_s, column, ...] and redraws.
 */
export function timeChart(element, series, { unit = "", span_s = 120 } = {}) {
  let data = [[], ...series.map(() => [])];
  let plot = build();

  function build() {
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const options = {
      width: element.clientWidth,
      height: element.clientHeight,
      padding: [10, 6, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: (_plot, _min, max) => [max - span_s, max] },
        y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.15)] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 80, size: 28, values: (_plot, ticks) => ticks.map(clock) },
        { ...axis, size: 52, space: 38, values: (_plot, ticks) => ticks.map((tick) => brief(tick) + unit) },
      ],
      series: [{}, ...series.map(line)],
    };
    return new uPlot(options, data, element);
  }

  function line(one) {
    const stroke = colour(one.colour);
    return {
      label: one.label,
      stroke,
      width: one.fill ? 2 : 1.6,
      dash: one.dash,
      points: { show: false },
      fill: one.fill ? `color-mix(in srgb, ${stroke} 16%, transparent)` : undefined,
      paths: one.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
    };
  }

  function rebuild() {
    plot.destroy();
    plot = build();
  }

  new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: element.clientHeight })).observe(element);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
  return (columns) => {
    data = columns;
    plot.setData(data);
  };
}
