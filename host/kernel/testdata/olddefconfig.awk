# SPDX-License-Identifier: GPL-2.0-or-later
# Reads a Kconfig of lines "config NAME [NEEDS]", then a .config: the last value of each option
# counts, and goes when what it needs is off.
FNR == NR {
  if ($1 == "config") { order[++n] = "CONFIG_" $2; needs["CONFIG_" $2] = $3 }
  next
}
/^CONFIG_/ { at = index($0, "="); value[substr($0, 1, at - 1)] = substr($0, at + 1) }
/^# CONFIG_.* is not set$/ { value[$2] = "n" }
END {
  print "# made by olddefconfig"
  for (i = 1; i <= n; i++) {
    name = order[i]
    need = needs[name]
    off = need != "" && value["CONFIG_" need] != "y"
    if (off || value[name] == "n" || value[name] == "") print "# " name " is not set"
    else print name "=" value[name]
  }
}
