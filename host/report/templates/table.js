'use strict';
// A click on a heading sorts its table, by number where every cell has one.
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      heads.forEach((other) => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      const numbers = rows.every(([text]) => text === '' || !Number.isNaN(Number(text)));
      rows.sort(([a], [b]) => (numbers ? Number(a) - Number(b) : a.localeCompare(b)) * (up ? 1 : -1));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    };
    head.addEventListener('click', sort);
    head.addEventListener('keydown', (event) => { if (event.key === 'Enter') sort(); });
  });
}
// The trials that hold the text, and have the verdict.
const text = document.getElementById('filter');
const verdict = document.getElementById('verdict');
if (text && verdict) {
  const rows = [...document.querySelectorAll('#trials tbody tr')].map((row) => [row, row.textContent.toLowerCase()]);
  const shown = document.getElementById('shown');
  const filter = () => {
    const wanted = text.value.toLowerCase();
    let count = 0;
    for (const [row, content] of rows) {
      const good = content.includes(wanted) && (verdict.value === '' || row.dataset.verdict === verdict.value);
      row.hidden = !good;
      count += good ? 1 : 0;
    }
    shown.textContent = `${count} shown`;
  };
  text.addEventListener('input', filter);
  verdict.addEventListener('change', filter);
  filter();
}
