#include "lanes.h"
#include "pass.h"
#include "update.h"
