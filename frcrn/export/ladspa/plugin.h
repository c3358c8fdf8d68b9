/* What a LADSPA host and a plugin tell each other: names, types and order are those of version 1.1 of that interface. */
#ifndef FRCRN_PLUGIN_H
#define FRCRN_PLUGIN_H

#define LADSPA_PROPERTY_HARD_RT_CAPABLE 4

#define LADSPA_PORT_INPUT 1
#define LADSPA_PORT_OUTPUT 2
#define LADSPA_PORT_CONTROL 4
#define LADSPA_PORT_AUDIO 8

#define LADSPA_HINT_BOUNDED_BELOW 0x1
#define LADSPA_HINT_BOUNDED_ABOVE 0x2
#define LADSPA_HINT_DEFAULT_MAXIMUM 0x140

typedef float LADSPA_Data;
typedef void *LADSPA_Handle;

typedef struct {
    int HintDescriptor;
    LADSPA_Data LowerBound, UpperBound;
} LADSPA_PortRangeHint;

typedef struct LADSPA_Descriptor {
    unsigned long UniqueID;
    const char *Label;
    int Properties;
    const char *Name, *Maker, *Copyright;
    unsigned long PortCount;
    const int *PortDescriptors;
    const char *const *PortNames;
    const LADSPA_PortRangeHint *PortRangeHints;
    void *ImplementationData;
    LADSPA_Handle (*instantiate)(const struct LADSPA_Descriptor *, unsigned long rate);
    void (*connect_port)(LADSPA_Handle, unsigned long port, LADSPA_Data *place);
    void (*activate)(LADSPA_Handle);
    void (*run)(LADSPA_Handle, unsigned long count);
    void (*run_adding)(LADSPA_Handle, unsigned long count);
    void (*set_run_adding_gain)(LADSPA_Handle, LADSPA_Data gain);
    void (*deactivate)(LADSPA_Handle);
    void (*cleanup)(LADSPA_Handle);
} LADSPA_Descriptor;

#endif
