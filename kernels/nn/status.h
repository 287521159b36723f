/* What a function of the neural-net library can answer. */
#ifndef US_KERNELS_NN_STATUS_H
#define US_KERNELS_NN_STATUS_H

enum us_nn_status {
    US_NN_OK = 0,
    US_NN_NO_MEMORY,   /* nothing was made */
    US_NN_BAD_CONFIG,  /* see us_nn_arch_problem for the clause */
    US_NN_UNSUPPORTED, /* this processor or library has no such operation (bf16, for example) */
    US_NN_NOT_FINITE,  /* a loss or a gradient is NaN or infinite; parameters were left as they were
                        */
    US_NN_FAILED,      /* the compute library refused; our fault */
    US_NN_LOST,        /* another rank is gone or late: the comm's `problem` names it */
};

/* One clause, lower case, no full stop. */
const char *us_nn_status_text(enum us_nn_status status);

#endif
