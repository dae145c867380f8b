// SPDX-License-Identifier: GPL-2.0-or-later
//
// Payloads. The reader's side treats every value as hostile: presence, type, length and range
// are checked before a value is taken, and nlohmann's exceptions are never provoked.
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>

#include "guest/protocol/records.h"

namespace mmquake {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 8;  // our deepest record has four levels
constexpr std::uint64_t kMaxCount = 1'000'000;
constexpr double kMaxReal = 1e15;

// ---- writing ----

double finite(double value) {
  return std::isfinite(value) ? value : 0;
}

std::string clip(const std::string& text, std::size_t limit) {
  if (text.size() <= limit) {
    return text;
  }
  static constexpr std::string_view kMark = "...";
  const std::size_t keep = limit > kMark.size() ? limit - kMark.size() : 0;
  return text.substr(0, keep) + std::string(kMark);
}

// Turns records into JSON with every text clipped to `text` bytes.
struct Writer {
  std::size_t text = kMaxTextBytes;

  static std::string name(const std::string& value) { return clip(value, kMaxNameBytes); }

  static json counters(const Counters& values) {
    json out = json::object();
    for (const auto& [key, value] : values) {
      if (out.size() == kMaxListEntries) {
        break;
      }
      out[name(key)] = value;
    }
    return out;
  }

  json texts(const std::map<std::string, std::string>& values) const {
    json out = json::object();
    for (const auto& [key, value] : values) {
      if (out.size() == kMaxListEntries) {
        break;
      }
      out[name(key)] = clip(value, text);
    }
    return out;
  }

  template <typename T, typename Fn>
  static json list(const std::vector<T>& values, Fn item) {
    json out = json::array();
    for (const T& value : values) {
      if (out.size() == kMaxListEntries) {
        break;
      }
      out.push_back(item(value));
    }
    return out;
  }

  json operator()(const Hello& r) const {
    return {{"type", "hello"},
            {"protocol", r.protocol},
            {"kernel", name(r.kernel)},
            {"cpus", r.cpus},
            {"nodes", r.nodes},
            {"memory_mib", r.memory_mib},
            {"uptime_s", finite(r.uptime_s)},
            {"calibration_ms", finite(r.calibration_ms)}};
  }
  json operator()(const Heartbeat& r) const {
    return {{"type", "heartbeat"},
            {"time_s", finite(r.time_s)},
            {"uptime_s", finite(r.uptime_s)},
            {"round", r.round},
            {"roles", list(r.roles,
                           [](const RoleProgress& role) {
                             return json{{"name", name(role.name)},
                                         {"steps", role.steps},
                                         {"state", name(role.state)}};
                           })},
            {"counters", counters(r.counters)}};
  }
  json operator()(const FindingRecord& r) const {
    return {{"type", "finding"},
            {"kind", name(r.kind)},
            {"title", name(r.title)},
            {"role", name(r.role)},
            {"round", r.round},
            {"time_s", finite(r.time_s)},
            {"evidence", texts(r.evidence)}};
  }
  json operator()(const Summary& r) const {
    return {{"type", "summary"},
            {"outcome", std::string(to_string(r.outcome))},
            {"reason", clip(r.reason, text)},
            {"time_s", finite(r.time_s)},
            {"rounds", r.rounds},
            {"counters", counters(r.counters)},
            {"widener", list(r.widener, [](const WidenerCount& site) {
               return json{{"site", name(site.site)},
                           {"hits", site.hits},
                           {"effective", site.effective},
                           {"slept", site.slept}};
             })}};
  }
  json operator()(const Note& r) const { return {{"type", "note"}, {"text", clip(r.text, text)}}; }
  json operator()(const GuestPlan& r) const {
    return {{"type", "plan"},
            {"workload", name(r.workload)},
            {"params", texts(r.params)},
            {"seed", r.seed},
            {"seconds", finite(r.seconds)},
            {"max_rounds", r.max_rounds},
            {"max_findings", r.max_findings},
            {"slowdown", finite(r.slowdown)},
            {"turn", r.turn},
            {"widen", list(r.widen, [](const WidenSite& site) {
               return json{{"site", name(site.site)},  {"min_us", site.min_us},
                           {"max_us", site.max_us},    {"probability", finite(site.probability)},
                           {"comm", name(site.comm)},  {"mode", name(site.mode)},
                           {"may_miss", site.may_miss}};
             })}};
  }
};

// ---- reading ----

// One JSON object whose fields are taken one by one. The first wrong field is remembered, and
// what comes after it is ignored.
class Fields {
 public:
  Fields(const json& object, std::string where, std::string& error)
      : object_(object), where_(std::move(where)), error_(error) {
    if (!object.is_object()) {
      fail("", "is no object");
    }
  }

  void take(const char* key, std::uint64_t& out,
            std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) {
    const json* value = find(key);
    if (value == nullptr) {
      return;
    }
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > max) {
      fail(key, "is no integer from 0 to " + std::to_string(max));
      return;
    }
    out = value->get<std::uint64_t>();
  }
  void take(const char* key, int& out) {
    std::uint64_t wide = 0;
    take(key, wide, kMaxCount);
    out = static_cast<int>(wide);
  }
  void take(const char* key, double& out) {
    const json* value = find(key);
    if (value == nullptr) {
      return;
    }
    const double number = value->is_number() ? value->get<double>() : -1;
    if (!(number >= 0 && number <= kMaxReal)) {
      fail(key, "is no number from 0 to 1e15");
      return;
    }
    out = number;
  }
  void take(const char* key, bool& out) {
    const json* value = find(key);
    if (value == nullptr) {
      return;
    }
    if (!value->is_boolean()) {
      fail(key, "is neither true nor false");
      return;
    }
    out = value->get<bool>();
  }
  void take(const char* key, std::string& out, std::size_t max) {
    const json* value = find(key);
    if (value != nullptr) {
      text_of(*value, key, out, max);
    }
  }
  void take(const char* key, Counters& out) {
    for_each(key, true, [&](const std::string& name, const json& value) {
      if (!value.is_number_unsigned()) {
        fail(key, "has a counter that is no integer from 0 on");
        return;
      }
      out[name] = value.get<std::uint64_t>();
    });
  }
  void take(const char* key, std::map<std::string, std::string>& out) {
    for_each(key, true, [&](const std::string& name, const json& value) {
      text_of(value, key, out[name], kMaxTextBytes);
    });
  }
  template <typename T, typename Fn>
  void take_list(const char* key, std::vector<T>& out, Fn item) {
    for_each(key, false, [&](const std::string&, const json& value) {
      T element;
      Fields fields(value, where_ + "." + key, error_);
      item(fields, element);
      out.push_back(std::move(element));
    });
  }

 private:
  bool failed() const { return !error_.empty(); }

  void fail(const char* key, const std::string& what) {
    if (error_.empty()) {
      error_ = where_ + (*key != '\0' ? "." : "") + key + " " + what;
    }
  }

  const json* find(const char* key) {
    if (failed()) {
      return nullptr;
    }
    const auto it = object_.find(key);
    if (it == object_.end()) {
      fail(key, "is missing");
      return nullptr;
    }
    return &*it;
  }

  void text_of(const json& value, const char* key, std::string& out, std::size_t max) {
    if (!value.is_string()) {
      fail(key, "is no text");
      return;
    }
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() > max) {
      fail(key, "is longer than " + std::to_string(max) + " bytes");
      return;
    }
    out = text;
  }

  template <typename Fn>
  void for_each(const char* key, bool keyed, Fn item) {
    const json* value = find(key);
    if (value == nullptr) {
      return;
    }
    if (keyed ? !value->is_object() : !value->is_array()) {
      fail(key, keyed ? "is no object" : "is no list");
      return;
    }
    if (value->size() > kMaxListEntries) {
      fail(key, "has more than " + std::to_string(kMaxListEntries) + " entries");
      return;
    }
    for (auto it = value->begin(); it != value->end() && !failed(); ++it) {
      const std::string name = keyed ? it.key() : std::string();
      if (name.size() > kMaxNameBytes) {
        fail(key, "has a name longer than " + std::to_string(kMaxNameBytes) + " bytes");
        return;
      }
      item(name, *it);
    }
  }

  const json& object_;
  std::string where_;
  std::string& error_;
};

void read(Fields& in, Hello& r) {
  in.take("protocol", r.protocol);
  in.take("kernel", r.kernel, kMaxNameBytes);
  in.take("cpus", r.cpus);
  in.take("nodes", r.nodes);
  in.take("memory_mib", r.memory_mib);
  in.take("uptime_s", r.uptime_s);
  in.take("calibration_ms", r.calibration_ms);
}

void read(Fields& in, Heartbeat& r) {
  in.take("time_s", r.time_s);
  in.take("uptime_s", r.uptime_s);
  in.take("round", r.round);
  in.take_list("roles", r.roles, [](Fields& role, RoleProgress& out) {
    role.take("name", out.name, kMaxNameBytes);
    role.take("steps", out.steps);
    role.take("state", out.state, kMaxNameBytes);
  });
  in.take("counters", r.counters);
}

void read(Fields& in, FindingRecord& r) {
  in.take("kind", r.kind, kMaxNameBytes);
  in.take("title", r.title, kMaxNameBytes);
  in.take("role", r.role, kMaxNameBytes);
  in.take("time_s", r.time_s);
  in.take("round", r.round);
  in.take("evidence", r.evidence);
}

void read(Fields& in, Summary& r, std::string& error) {
  std::string outcome;
  in.take("outcome", outcome, kMaxNameBytes);
  in.take("reason", r.reason, kMaxTextBytes);
  in.take("time_s", r.time_s);
  in.take("rounds", r.rounds);
  in.take("counters", r.counters);
  in.take_list("widener", r.widener, [](Fields& site, WidenerCount& out) {
    site.take("site", out.site, kMaxNameBytes);
    site.take("hits", out.hits);
    site.take("effective", out.effective);
    site.take("slept", out.slept);
  });
  for (const Outcome known :
       {Outcome::kPassed, Outcome::kFound, Outcome::kBroken, Outcome::kSkipped}) {
    if (outcome == to_string(known)) {
      r.outcome = known;
      return;
    }
  }
  if (error.empty()) {
    error = "summary.outcome is none of passed, found, broken, skipped";
  }
}

void read(Fields& in, Note& r) {
  in.take("text", r.text, kMaxTextBytes);
}

void read(Fields& in, GuestPlan& r) {
  in.take("workload", r.workload, kMaxNameBytes);
  in.take("params", r.params);
  in.take("seed", r.seed);
  in.take("seconds", r.seconds);
  in.take("max_rounds", r.max_rounds);
  in.take("max_findings", r.max_findings);
  in.take("slowdown", r.slowdown);
  in.take("turn", r.turn);
  in.take_list("widen", r.widen, [](Fields& site, WidenSite& out) {
    site.take("site", out.site, kMaxNameBytes);
    site.take("min_us", out.min_us);
    site.take("max_us", out.max_us);
    site.take("probability", out.probability);
    site.take("comm", out.comm, kMaxNameBytes);
    site.take("mode", out.mode, kMaxNameBytes);
    site.take("may_miss", out.may_miss);
  });
}

// Looks at brackets outside of strings only, so that a hostile payload is refused before a
// parser builds anything from it.
bool too_deep(std::string_view payload) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < payload.size(); ++i) {
    const char c = payload[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) {
        return true;
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

template <typename T>
Result<Record> read_record(const json& object, const char* where) {
  std::string error;
  T record;
  Fields fields(object, where, error);
  if constexpr (std::is_same_v<T, Summary>) {
    read(fields, record, error);
  } else {
    read(fields, record);
  }
  if (!error.empty()) {
    return broken("record refused: " + error);
  }
  return Record(std::move(record));
}

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPassed:
      return "passed";
    case Outcome::kFound:
      return "found";
    case Outcome::kBroken:
      return "broken";
    case Outcome::kSkipped:
      return "skipped";
  }
  return "broken";
}

std::string to_json(const Record& record) {
  // Escaping can make a text six times longer: clip harder until the frame fits. The names
  // alone stay below the bound for every record that the runner makes.
  static constexpr std::size_t kRoom = kMaxFrameBytes - 64;
  Writer writer;
  for (;;) {
    std::string payload =
        std::visit(writer, record).dump(-1, ' ', false, json::error_handler_t::replace);
    if (payload.size() <= kRoom || writer.text == 0) {
      return payload;
    }
    writer.text /= 2;
  }
}

Result<Record> from_json(std::string_view payload) {
  if (payload.size() > kMaxFrameBytes || too_deep(payload)) {
    return broken("record refused: too long or nested too deep");
  }
  const json object = json::parse(payload, nullptr, false);
  if (!object.is_object()) {
    return broken("record refused: the payload is no JSON object");
  }
  const auto type = object.find("type");
  if (type == object.end() || !type->is_string()) {
    return broken("record refused: it has no type");
  }
  const auto& name = type->get_ref<const std::string&>();
  if (name == "hello") {
    return read_record<Hello>(object, "hello");
  }
  if (name == "heartbeat") {
    return read_record<Heartbeat>(object, "heartbeat");
  }
  if (name == "finding") {
    return read_record<FindingRecord>(object, "finding");
  }
  if (name == "summary") {
    return read_record<Summary>(object, "summary");
  }
  if (name == "note") {
    return read_record<Note>(object, "note");
  }
  if (name == "plan") {
    return read_record<GuestPlan>(object, "plan");
  }
  return broken(
      "record refused: its type is none of hello, heartbeat, finding, summary, note, "
      "plan");
}

}  // namespace mmquake
