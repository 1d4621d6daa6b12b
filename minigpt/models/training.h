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
