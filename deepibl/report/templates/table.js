// Shows a table of many rows 50 at a time. Names are set as text, never as markup.
document.querySelectorAll('.rows').forEach(function (box) {
  var data = JSON.parse(box.querySelector('script').textContent), size = 50, page = 0, shown = data.rows;
  var body = box.querySelector('tbody'), text = box.querySelector('input'), kind = box.querySelector('select');
  var note = box.querySelector('.note'), step = box.querySelectorAll('button');
  function draw() {
    body.textContent = '';
    shown.slice(page * size, page * size + size).forEach(function (row) {
      var line = body.insertRow();
      row.forEach(function (value) { line.insertCell().textContent = value === null ? '\u2013' : value; });
    });
    var pages = Math.max(1, Math.ceil(shown.length / size));
    note.textContent = shown.length + ' of ' + data.rows.length + ', page ' + (page + 1) + ' of ' + pages;
    step[0].disabled = page === 0; step[1].disabled = page + 1 >= pages;
  }
  function choose() {
    var want = text.value.toLowerCase(), which = kind.value;
    shown = data.rows.filter(function (row) {
      var kept = which === '' || data.kinds[which].indexOf(row[data.column]) >= 0;
      return kept && (want === '' || String(row[0]).toLowerCase().indexOf(want) >= 0);
    });
    page = 0; draw();
  }
  text.addEventListener('input', choose); kind.addEventListener('change', choose);
  step[0].addEventListener('click', function () { page--; draw(); });
  step[1].addEventListener('click', function () { page++; draw(); });
  var fold = box.querySelector('details');
  if (fold.open) { draw(); } else { fold.addEventListener('toggle', draw, { once: true }); }
});
