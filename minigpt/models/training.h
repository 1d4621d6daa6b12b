/* A training step of a GPT, for one kind of processor: levels.h includes this file for each. */

#include "lanes.h"
#ifdef PAIRS
#include "pairs.h"
#else
#include "floats.h"
#include "update.h"
#endif
#include "attention.h"
#include "muon.h"
#include "pass.h"
