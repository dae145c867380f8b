// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/compose/cell_ledger.h"

#include <algorithm>

namespace mmquake {
namespace {

constexpr std::uint64_t kAtWork = 1;
constexpr std::uint64_t kOneGivenUp = 2;
constexpr std::uint64_t kOneEmptied = 1ULL << 32;
constexpr std::uint64_t kFewGenerations = 16;

bool is_zero(const CellImage& image) {
  return std::all_of(image.begin(), image.end(), [](std::uint64_t word) { return word == 0; });
}

// Each word is zero, or that word of an allowed generation.
std::optional<Damage> judge_words(const CellLook& look, const CellPlace& place) {
  const std::uint64_t first = std::max<std::uint64_t>(look.oldest, 1);
  if (look.copied || look.newest - look.oldest > kFewGenerations) {
    return std::nullopt;  // words may be cut, or the owner has lapped the reader: all is allowed
  }
  bool known_everywhere = true;
  for (std::size_t i = 0; i < look.image.size(); ++i) {
    bool known = look.image[i] == 0;
    for (std::uint64_t g = first; g <= look.newest && !known; ++g) {
      known = make_cell(place, g)[i] == look.image[i];
    }
    known_everywhere = known_everywhere && known;
  }
  if (known_everywhere) {
    return std::nullopt;
  }
  const std::optional<Damage> damage = classify(look.image, place, look.oldest, look.newest);
  return damage ? damage : Damage::kTorn;
}

bool only_given_up(const CellLook& look) {
  return look.look_before.emptied() == look.write_before.emptied();
}

}  // namespace

bool EmptyMark::begin() {
  std::uint64_t now = raw_.load();
  return (now & kAtWork) == 0 && raw_.compare_exchange_strong(now, now | kAtWork);
}

void EmptyMark::end(How how) {
  const std::uint64_t now = raw_.load();
  const std::uint64_t step = how == How::kEmptied   ? kOneEmptied
                             : how == How::kGivenUp ? kOneGivenUp
                                                    : 0;
  raw_.store((now & ~kAtWork) + step);
}

void write_cell(std::byte* at, const CellPlace& place, CellBook& book, const EmptyMark& mark,
                std::uint64_t next) {
  (void)begin_write(book, mark, next);
  store_cell(at, make_cell(place, next));
  end_write(book, mark, next);
}

WriteBegun begin_write(CellBook& book, const EmptyMark& mark, std::uint64_t next) {
  const WriteBegun begun{book.generation.intended.load(), EmptyState(book.seen_before.load())};
  book.generation.intended.store(next);
  book.seen_before.store(mark.state().raw());
  return begun;
}

void end_write(CellBook& book, const EmptyMark& mark, std::uint64_t next) {
  book.seen_after.store(mark.state().raw());
  book.generation.published.store(next);
}

void withdraw_write(CellBook& book, const WriteBegun& begun) {
  book.seen_before.store(begun.seen_before.raw());
  book.generation.intended.store(begun.last);
}

CellLook begin_look(const CellBook& book, const EmptyMark& mark) {
  CellLook look;
  look.oldest = book.generation.published.load();
  look.write_before = EmptyState(book.seen_before.load());
  look.write_after = EmptyState(book.seen_after.load());
  look.look_before = mark.state();
  return look;
}

void end_look(CellLook& look, const CellImage& image, const CellBook& book, const EmptyMark& mark) {
  look.image = image;
  look.look_after = mark.state();
  look.newest = book.generation.intended.load();
}

CellLook look_at_cell(const std::byte* at, const CellBook& book, const EmptyMark& mark) {
  CellLook look = begin_look(book, mark);
  end_look(look, load_cell(at), book, mark);
  return look;
}

bool is_exact(const CellLook& look) {
  // Equal generations: no write was under way from before the look to behind it, so the two states
  // of the write belong to that generation.
  return look.oldest == look.newest && look.oldest != 0 && look.write_before == look.write_after &&
         !look.write_before.at_work() && look.look_before == look.write_before &&
         look.look_after == look.look_before;
}

std::optional<Damage> judge_look(const CellLook& look, const CellPlace& place) {
  if (look.oldest == 0 && look.newest == 0) {
    return is_zero(look.image) ? std::nullopt : std::optional(Damage::kForeign);
  }
  if (look.oldest != look.newest) {
    // A write is under way, or was. Memory that nobody has emptied since it was first written does
    // not turn to zero.
    const bool may_be_zero = look.oldest == 0 || look.look_after.raw() != 0;
    return may_be_zero || look.copied
               ? judge_words(look, place)
               : classify_in_flight(look.image, place, look.oldest, look.newest);
  }
  if (is_exact(look)) {
    return classify(look.image, place, look.oldest, look.newest);
  }
  const bool clean_write = look.write_before == look.write_after && !look.write_before.at_work();
  const bool quiet_look = look.look_before == look.look_after && !look.look_before.at_work();
  if (clean_write && quiet_look && !only_given_up(look)) {
    if (is_zero(look.image)) {
      return std::nullopt;
    }
    // Any bytes are wrong here, and those of the emptied generation are the classic.
    return classify(look.image, place, look.newest + 1, look.newest + 1).value_or(Damage::kStale);
  }
  return judge_words(look, place);
}

}  // namespace mmquake
