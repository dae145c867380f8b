// SPDX-License-Identifier: GPL-2.0-or-later
//
// For html_browser_test.cpp: looks at the report's pages, each in a frame, as a person would. Says
// what it saw in one line of the console; every other line there is an error.
'use strict';
addEventListener('load', () => {
  const failed = [];
  let checks = 0;
  const check = (good, what) => {
    ++checks;
    if (!good) failed.push(what);
  };

  // Relative luminance and contrast, as WCAG has them.
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const blend = (above, below) => {
    const alpha = above[3] ?? 1;
    return [0, 1, 2].map((i) => above[i] * alpha + below[i] * (1 - alpha));
  };
  const luminance = (rgb) => {
    const linear = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (element) => {
    if (element === null) return [255, 255, 255];
    const own = channels(getComputedStyle(element).backgroundColor);
    return own[3] === 0 ? ground(element.parentElement) : blend(own, ground(element.parentElement));
  };
  const contrast = (element) => {
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(ground(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };

  const column = (table, index) => [...table.tBodies[0].rows].map((row) => row.cells[index].textContent);
  const shown = (doc) => [...doc.querySelectorAll('#trials tbody tr')].filter((row) => row.offsetParent !== null);

  const sorts = (doc, name) => {
    const table = doc.getElementById('trials');
    const numbers = column(table, 0).map(Number);
    const head = table.tHead.rows[0].cells[0];
    head.click();
    check(String(column(table, 0)) === String(numbers.toSorted((a, b) => a - b)), name + ': sorts by number');
    check(head.getAttribute('aria-sort') === 'ascending', name + ': says how it is sorted');
    head.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }));
    check(String(column(table, 0)) === String(numbers.toSorted((a, b) => b - a)), name + ': Enter sorts, too');
    table.tHead.rows[0].cells[8].click();
    const words = column(table, 8);
    check(String(words) === String(words.toSorted((a, b) => a.trim().localeCompare(b.trim()))), name + ': sorts by text');
    check(head.getAttribute('aria-sort') === null, name + ': sorted by one column');
  };

  const filters = (doc, name) => {
    const all = shown(doc).length;
    const text = doc.getElementById('filter');
    const verdict = doc.getElementById('verdict');
    const set = (field, value, event) => {
      field.value = value;
      field.dispatchEvent(new Event(event));
    };
    set(text, 'SPECIMEN', 'input');
    const some = shown(doc);
    check(some.length > 0 && some.length < all, name + ': filters by text');
    check(some.every((row) => row.cells[2].textContent === 'specimen'), name + ': keeps what was asked for');
    set(verdict, 'found', 'change');
    check(shown(doc).every((row) => row.dataset.verdict === 'found'), name + ': filters by verdict');
    check(doc.getElementById('shown').textContent === shown(doc).length + ' shown', name + ': says how many');
    set(text, '', 'input');
    set(verdict, '', 'change');
    check(shown(doc).length === all, name + ': shows all again');
  };

  const heat = (doc, name) => {
    const cold = doc.querySelector('td.h0');
    check(cold !== null && getComputedStyle(cold).backgroundImage !== 'none', name + ': what never ran is hatched');
    check(cold !== null && cold.textContent === '', name + ': what never ran has no number');
    const shades = new Set();
    for (const cell of doc.querySelectorAll('.heat td:not(.h0):not(.hx)')) {
      shades.add(getComputedStyle(cell).backgroundColor);
      check(/^\d+/.test(cell.textContent), name + ': a cell has its count');
      check(contrast(cell) >= 4.5, name + ': a count can be read');
    }
    check(shades.size >= 3, name + ': heat has shades');
    check(doc.querySelector('.heat .hit b.found') !== null, name + ': what found something is marked');
  };

  const looks = (doc, name, dark) => {
    const root = doc.documentElement;
    check(root.scrollWidth <= root.clientWidth, `${name}: ${root.scrollWidth} wide, has ${root.clientWidth}`);
    check(doc.querySelector('h1').offsetHeight > 0, name + ': has a heading');
    check(luminance(ground(doc.body)) < 0.1 === dark, name + ': is dark or light as asked');
    for (const kind of ['body', 'a', 'th', '.faint', '.found', '.passed', '.broken', '.skipped', '.new']) {
      for (const one of doc.querySelectorAll(kind)) {
        if (one.textContent !== '') check(contrast(one) >= 4.5, `${name}: ${kind} can be read (${contrast(one).toFixed(1)})`);
      }
    }
  };

  const harmless = (frame, doc, name) => {
    check(frame.contentWindow.hacked === undefined && window.hacked === undefined, name + ': guest text was run');
    check(doc.querySelector('img, iframe, object, embed, link, base, form') === null, name + ': guest text made an element');
    check(doc.scripts.length <= 1, name + ': guest text made a script');
    const attributes = [...doc.querySelectorAll('*')].flatMap((one) => one.getAttributeNames());
    check(attributes.every((one) => !one.startsWith('on')), name + ': guest text made a handler');
    check(doc.body.textContent.includes('<script>hacked=1<' + '/script>'), name + ': guest text is there as it was');
    check(doc.body.textContent.includes('"><img src=x onerror="hacked=1">'), name + ': quotes are there as they were');
    check(doc.body.textContent.includes('\\x1b[31m\\x00'), name + ': control characters are shown');
  };

  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  for (const frame of document.querySelectorAll('iframe')) {
    const doc = frame.contentDocument;
    const name = frame.name;
    harmless(frame, doc, name);
    looks(doc, name, dark);
    if (!name.startsWith('campaign')) continue;
    sorts(doc, name);
    filters(doc, name);
    heat(doc, name);
    check(doc.querySelectorAll('svg').length === 2, name + ': has both plots');
  }
  console.log(`mmquake: ${dark ? 'dark' : 'light'}, ${checks} checks, failed: ${[...new Set(failed)].join('; ')}.`);
});
