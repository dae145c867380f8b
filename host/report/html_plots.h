// SPDX-License-Identifier: GPL-2.0-or-later
//
// Plots as SVG text, drawn by the host: a page needs no script for them. Sizes are fixed; the
// browser scales. All labels are ours, none is a guest's.
#pragma once

#include <string>
#include <vector>

namespace mmquake {

struct DotRow {
  std::string label;
  std::vector<double> values;  // above 0
};
// A row of dots a label over one logarithmic axis. Empty without a row.
std::string dot_rows_svg(const std::vector<DotRow>& rows, const std::string& unit);

struct Dot {
  double x = 0;
  double y = 0;
  std::string css_class;
};
// Linear axes from 0 to the largest values. Of more than 2,000 dots, every nth ordinary one is
// drawn; those whose class is not "passed" always. Empty without a dot.
std::string scatter_svg(const std::vector<Dot>& dots, const std::string& x_name,
                        const std::string& y_name);

}  // namespace mmquake
