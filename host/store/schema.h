// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace mmquake {

// "MMQk" in SQLite's header: `file` and our open() tell a store from any other database by it.
inline constexpr int kApplicationId = 0x4d4d516b;
// Goes up with every change of the tables; open() brings an older file up to it, step by step.
inline constexpr int kSchemaVersion = 3;

// seed is a 64-bit pattern: SQLite's integers have a sign.
inline constexpr const char* kSchema = R"sql(
CREATE TABLE campaign (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  spec TEXT NOT NULL,
  seed INTEGER NOT NULL,
  budget_seconds REAL NOT NULL,
  budget_trials INTEGER NOT NULL,
  used_seconds REAL NOT NULL DEFAULT 0,
  started_at REAL NOT NULL,
  ended_at REAL,
  directory TEXT NOT NULL
) STRICT;
CREATE TABLE trial (
  id INTEGER PRIMARY KEY,
  campaign INTEGER NOT NULL REFERENCES campaign(id),
  number INTEGER NOT NULL CHECK (number > 0),
  state TEXT NOT NULL CHECK (state IN ('planned', 'running', 'ended')),
  attempt INTEGER NOT NULL DEFAULT 0,
  item TEXT NOT NULL,
  kernel TEXT NOT NULL,
  machine TEXT NOT NULL,
  case_name TEXT NOT NULL,
  workload TEXT NOT NULL,
  params TEXT NOT NULL,
  seed INTEGER NOT NULL,
  verdict TEXT CHECK (verdict IN ('passed', 'found', 'broken', 'skipped')),
  reason TEXT,
  kernel_key TEXT,
  kernel_release TEXT,
  started_at REAL,
  ended_at REAL,
  seconds REAL,
  wall_seconds REAL,
  slowdown REAL,
  rounds INTEGER,
  migrations INTEGER,
  overlaps INTEGER,
  directory TEXT,
  repeat TEXT,
  new_log_shapes TEXT NOT NULL DEFAULT '[]',
  UNIQUE (campaign, number),
  CHECK ((state = 'ended') = (verdict IS NOT NULL)),
  CHECK (state = 'planned' OR attempt > 0)
) STRICT;
)sql";

// Since version 2 one finding a signature; it was one a title.
inline constexpr const char* kFindingSchema = R"sql(
CREATE TABLE finding (
  id INTEGER PRIMARY KEY,
  trial INTEGER NOT NULL REFERENCES trial(id),
  title TEXT NOT NULL,
  kind TEXT NOT NULL,
  source TEXT NOT NULL,
  signature TEXT NOT NULL,
  seconds REAL NOT NULL,
  round INTEGER NOT NULL,
  UNIQUE (trial, signature)
) STRICT;
CREATE INDEX finding_signature ON finding(signature);
)sql";

}  // namespace mmquake
