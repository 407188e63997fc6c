/* Draws the charts of a page from the tables beneath them. Without it the tables say the same.

   <div class="chart" data-chart="line|stacked" data-unit="share|usd|ms|count" data-table="ID">
   A table's column heads are the series, its row heads have data-day, its cells data-v where there is a value. */
(function () {
  "use strict";

  var HEIGHT = 200;
  var drawn = new Map();
  var watch = new ResizeObserver(function (entries) {
    entries.forEach(function (entry) {
      var one = drawn.get(entry.target.id);
      var width = Math.floor(entry.contentRect.width);
      if (one && width > 0 && one.plot.width !== width) one.plot.setSize({ width: width, height: HEIGHT });
    });
  });

  function read(table) {
    var names = Array.prototype.slice.call(table.tHead.rows[0].cells, 1).map(function (cell) { return cell.textContent; });
    var days = [], labels = [], texts = [];
    var columns = names.map(function () { return []; });
    Array.prototype.forEach.call(table.tBodies[0].rows, function (row) {
      days.push(Date.parse(row.cells[0].dataset.day + "T00:00:00Z") / 1000);
      labels.push(row.cells[0].textContent);
      texts.push(Array.prototype.slice.call(row.cells, 1).map(function (cell) { return cell.textContent; }));
      names.forEach(function (_, at) {
        var value = row.cells[at + 1].dataset.v;
        columns[at].push(value === undefined ? null : Number(value));
      });
    });
    return { names: names, days: days, labels: labels, texts: texts, columns: columns };
  }

  function colour(style, name) {
    return style.getPropertyValue(name).trim();
  }

  function short(value, unit) {
    if (unit === "share") return Math.round(value * 100) + " %";
    if (unit === "usd") return "$" + (value >= 10 || value === 0 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(2) : value.toPrecision(1));
    if (unit === "ms") {
      if (value < 1000) return Math.round(value) + " ms";
      if (value < 60000) return Math.round(value / 1000) + " s";
      if (value < 3600000) return Math.round(value / 60000) + " min";
      return Math.round(value / 3600000) + " h";
    }
    return Number.isInteger(value) ? String(value) : "";
  }

  function stacked(columns) {
    /* each series stands on those before it; the highest is drawn first, and the others over it */
    var sums = [];
    var below = columns[0].map(function () { return 0; });
    columns.forEach(function (column) {
      below = below.map(function (sum, at) { return sum + (column[at] || 0); });
      sums.push(below);
    });
    return sums;
  }

  function series(told, kind, style) {
    var order = told.names.map(function (_, at) { return at; });
    if (kind === "stacked") order.reverse();
    return order.map(function (at) {
      var ink = colour(style, "--series-" + (at + 1));
      if (kind === "stacked") {
        return { label: told.names[at], fill: ink, stroke: ink, width: 0, points: { show: false },
          paths: uPlot.paths.bars({ size: [0.62, 44], gap: 0 }) };
      }
      return { label: told.names[at], stroke: ink, width: 2, spanGaps: true,
        points: { show: true, size: 6, fill: ink, stroke: ink } };
    });
  }

  function options(box, told, kind, unit, style) {
    var soft = colour(style, "--soft"), line = colour(style, "--line");
    var font = "11px " + colour(style, "--text");
    var said = document.getElementById(box.id + "-at");
    return {
      width: Math.max(200, Math.floor(box.clientWidth)),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { show: kind === "line" } },
      scales: {
        x: { time: false, range: function () {
          var half = 43200, days = told.days;
          return [days[0] - half, days[days.length - 1] + half];
        } },
        y: { range: function (_, low, high) {
          if (unit === "share") return [0, 1.04];
          return [0, high > 0 ? high * 1.08 : 1];
        } },
      },
      axes: [
        { stroke: soft, font: font, grid: { show: false }, ticks: { show: false }, space: 46, size: 26,
          splits: function (plot) {
            var days = told.days, fit = Math.max(2, Math.floor(plot.width / 62));
            var step = Math.max(1, Math.ceil(days.length / fit));
            return days.filter(function (_, at) { return (days.length - 1 - at) % step === 0; });
          },
          values: function (_, splits) {
            return splits.map(function (at) { return new Date(at * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" }); });
          } },
        { stroke: soft, font: font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 54, space: 34,
          incrs: unit === "count" ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6, 1e7]
            : unit === "ms" ? [1, 5, 10, 50, 100, 500, 1e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5, 1728e5, 864e6]
            : unit === "share" ? [0.25, 0.5] : undefined,
          values: function (_, splits) { return splits.map(function (value) { return short(value, unit); }); } },
      ],
      series: [{}].concat(series(told, kind, style)),
      hooks: { setCursor: [function (plot) {
        var at = plot.cursor.idx;
        if (!said) return;
        said.textContent = at === null || at === undefined ? "" : told.labels[at] + ": " + told.names.map(function (name, number) {
          return name + " " + told.texts[at][number];
        }).join(", ");
      }] },
    };
  }

  function draw(box, anew) {
    var table = document.getElementById(box.dataset.table);
    if (!table || !table.tHead || !box.clientWidth) return;
    var told = read(table);
    var key = JSON.stringify([told.names, told.days, told.columns]);
    var before = drawn.get(box.id);
    if (before && before.key === key && before.box === box && !anew) return;
    if (before) before.plot.destroy();
    var kind = box.dataset.chart, style = getComputedStyle(document.documentElement);
    var columns = kind === "stacked" ? stacked(told.columns).reverse() : told.columns;
    var plot = new uPlot(options(box, told, kind, box.dataset.unit, style), [told.days].concat(columns), box);
    drawn.set(box.id, { plot: plot, key: key, box: box });
    watch.observe(box);
  }

  function all(anew) {
    document.querySelectorAll(".chart[data-chart]").forEach(function (box) { draw(box, anew); });
    drawn.forEach(function (one, id) {
      if (document.getElementById(id) !== one.box) { one.plot.destroy(); drawn.delete(id); }
    });
  }

  document.addEventListener("daybreak:shown", function () { all(false); });
  document.addEventListener("daybreak:theme", function () { all(true); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { all(true); });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", function () { all(false); });
  else all(false);
})();
